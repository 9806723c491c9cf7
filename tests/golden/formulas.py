#!/usr/bin/env python3
"""Writes formula-*.safetensors: variants that no file of a public implementation here covers.

Outputs and gradients in float64 by torch (its own modules where there is one, else the formula written out below), from inputs that are
exact in float32. Needs torch, and only to write the files anew: python3 formulas.py
"""
import array
import json
import os
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def draw(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).float().double()


def save(mechanism, name, tensors, **metadata):
    header, blobs, end = {"__metadata__": {"mechanism": mechanism, "variant": name, "source": "float64 torch, tests/golden/formulas.py"}}, [], 0
    header["__metadata__"].update({key: str(value) for key, value in metadata.items()})
    for key, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        if tensor.dtype.is_floating_point:
            dtype, blob = "F32", array.array("f", tensor.float().flatten().tolist()).tobytes()
        elif tensor.dtype == torch.int32:
            dtype, blob = "I32", array.array("i", tensor.flatten().tolist()).tobytes()
        else:
            dtype, blob = "U8", bytes(tensor.to(torch.uint8).flatten().tolist())
        header[key] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(HERE, f"formula-{mechanism}-{name}.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def with_gradients(function, inputs):
    """Inputs, g, out and d<input>."""
    inputs = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    out = function(**inputs)
    g = draw(*out.shape)
    (out * g).sum().backward()
    return {**inputs, "g": g, "out": out, **{"d" + name: value.grad for name, value in inputs.items()}}


def of_module(module, tensors):
    """Parameters of a torch module and their gradients, under its names."""
    for name, parameter in module.named_parameters():
        tensors["param." + name] = parameter
        tensors["grad." + name] = parameter.grad
    return tensors


def randomise(module):
    for parameter in module.parameters():
        parameter.data.copy_(draw(*parameter.shape, scale=0.4))
    return module.double()


# ---- softmax, every mask at once ----

def softmax():
    B, H, T, D, M = 2, 2, 19, 6, 5
    keys, pairs = torch.rand(B, T) < 0.8, torch.rand(T, T) < 0.8
    keys[:, 0] = pairs[:, 0] = True
    keep = keys[:, None, None] & pairs & torch.ones(T, T, dtype=torch.bool).tril()

    def function(q, k, v):
        return (q @ k.transpose(-1, -2) * D ** -0.5).masked_fill(~keep, -1e300).softmax(-1) @ v

    tensors = with_gradients(function, {"q": draw(B, H, T, D), "k": draw(B, H, T, D), "v": draw(B, H, T, M)})
    save("softmax", "all_masks", {**tensors, "key_padding_keep": keys, "attn_keep": pairs}, causal=1, scale="1/sqrt(D)")


# ---- performer: feature maps phi(x, W, is_query), denominators ----

def directions(x, W):
    x = x * x.shape[-1] ** -0.25
    return x @ W.transpose(-1, -2), (x * x).sum(-1, keepdim=True) / 2   # u, n


def hku_favorp(x, W, query):
    u, n = directions(x, W)
    top = u.amax(-1, keepdim=True) if query else u.amax((-1, -2), keepdim=True)
    return W.shape[1] ** -0.5 * torch.exp(u - n - top.detach()) + 1e-4


def hku_fourier(x, W, query):
    u, n = directions(x, W)
    return W.shape[1] ** -0.5 * torch.cat([u.sin(), u.cos()], -1) * torch.exp(n - n.amax(2, keepdim=True).detach())


def rff_gaussian(x, W, query):
    u, _ = directions(x, W)
    return W.shape[0] ** -0.5 * torch.cat([u.cos(), u.sin()], -1)


def hyperbolic(x, W, query):
    u, n = directions(x, W)
    top = (2 * n).amax(2, keepdim=True)
    return (2 * W.shape[0]) ** -0.5 * torch.cat([torch.exp(u - n - top), torch.exp(-u - n - top)], -1)


def smorf(x, W, query):
    u, n = directions(x, W)
    return W.shape[0] ** -0.5 * torch.exp(u - n)


def smhyp(x, W, query):
    u, n = directions(x, W)
    return (2 * W.shape[0]) ** -0.5 * torch.cat([torch.exp(u - n), torch.exp(-u - n)], -1)


def google_relu(x, W, query):
    return torch.relu(x @ W.T) + 1e-3


def google_relu_noproj(x, W, query):
    return torch.relu(x) + 1e-3


def exponentials(x, W, query):
    return x.softmax(-1) if query else x.exp()


def performer(name, feature, denominator, causal=0, projection="proj", across=False, per_head=False, masked=False, lengths=False, scale=1.0, **metadata):
    B, H, N, D, m = 2, 2, 21, 8, 12
    W = draw(H, m, D) if per_head else draw(m, D)
    keep, extra = torch.ones(B, N), {}
    if masked:
        extra["mask_keep"] = keep = torch.rand(B, N) < 0.7
    if lengths:
        extra["key_lengths"] = torch.tensor([N, 9], dtype=torch.int32)
        keep = torch.arange(N)[None] < extra["key_lengths"][:, None]
    if projection:
        extra[projection] = W.T if across else W

    def function(q, k, v):
        f, h = feature(q, W, True), feature(k, W, False) * keep[:, None, :, None]
        state, total = h[..., None] * v[..., None, :], h
        state, total = (state.cumsum(2), total.cumsum(2)) if causal else (state.sum(2, keepdim=True), total.sum(2, keepdim=True))
        return (f[..., None] * state).sum(-2) / denominator((f * total).sum(-1), f)[..., None]

    inputs = {"q": draw(B, H, N, D, scale=scale), "k": draw(B, H, N, D, scale=scale), "v": draw(B, H, N, D)}
    save("performer", name, {**with_gradients(function, inputs), **extra}, causal=causal, **metadata)


def performers():
    floor, plain, added = (lambda d, f: d.clamp(min=1e-2)), (lambda d, f: d), (lambda d, f: d + 1e-6)
    performer("hku_favorp_mask", hku_favorp, floor, per_head=True, masked=True, scale=0.5)
    performer("hku_fourier_mask", hku_fourier, floor, per_head=True, masked=True, scale=0.5)
    performer("rff_gaussian", rff_gaussian, added, projection="omega", across=True, scale=0.4)
    performer("hyperbolic_lengths", hyperbolic, added, causal=1, projection="omega", across=True, lengths=True, scale=0.6, stabilize=1)
    performer("xformers_smorf", smorf, plain, causal=1, projection="features", across=True)
    performer("xformers_smhyp", smhyp, plain, projection="features", across=True)
    performer("google_relu", google_relu, plain, causal=1)
    performer("google_relu_noproj", google_relu_noproj, plain, projection=None)
    performer("noproj_causal", exponentials, lambda d, f: d + 1e-6 * f.sum(-1), causal=1, projection=None)


# ---- linformer modules ----

def heads(x, count):
    return x.view(x.shape[0], x.shape[1], count, -1).transpose(1, 2)


def tatp22(name, sharing, method, causal=0, input_keep=False, query_keep=False):
    B, H, N, k, dim = 2, 2, 24, 6, 12
    D, own, window = dim // H, H if sharing == "none" else 1, N // k
    shape = {"learnable": (own, k, N), "no_params": (own, N, k), "convolution": (own, D, D, window)}[method]
    keep = {}
    if input_keep:
        keep["input_keep"] = torch.rand(B, N) < 0.7
    if query_keep:
        keep["query_keep"] = torch.rand(B, N) < 0.7
    inputs = {"x": draw(B, N, dim), **{w: draw(dim, dim, scale=0.3) for w in ("wq", "wk", "wv", "wo")}, "bo": draw(dim)}
    for side in ("E",) if sharing == "kv" else ("E", "F"):
        inputs[side] = draw(*shape, scale=0.2)
        if method != "no_params":
            inputs["b" + side] = draw(own, D if method == "convolution" else k)

    def compressed(x, weight, bias):
        parts = []
        for h in range(H):
            w, b = weight[h % own], 0 if bias is None else bias[h % own]
            if method == "learnable":
                parts.append(w @ x[:, h] + b[:, None])
            elif method == "no_params":
                parts.append(w.T @ x[:, h])
            else:
                parts.append(torch.einsum("oit,brti->bro", w, x[:, h].reshape(B, k, window, D)) + b)
        return torch.stack(parts, 1)

    def function(x, wq, wk, wv, wo, bo, E, F=None, bE=None, bF=None):
        q, key, value = (heads(x @ w.T, H) for w in (wq, wk, wv))
        if input_keep:
            key, value = (part * keep["input_keep"][:, None, :, None] for part in (key, value))
        if query_keep:
            q = q * keep["query_keep"][:, None, :, None]
        key, value = compressed(key, E, bE), compressed(value, E if F is None else F, bE if F is None else bF)
        scores = q @ key.transpose(-1, -2) * D ** -0.5
        if causal:
            scores = scores.masked_fill(torch.arange(k)[None] > torch.arange(N)[:, None], -1e300)
        return (scores.softmax(-1) @ value).transpose(1, 2).reshape(B, N, dim) @ wo.T + bo

    save("linformer", name, {**with_gradients(function, inputs), **keep}, H=H, k=k, parameter_sharing=sharing, method=method, causal=causal, scale="1/sqrt(head_dim)")


def lucidrains(name, one_head, share):
    B, H, N, L, D, k, dim, longest = 2, 4, 15, 13, 3, 5, 10, 20
    own = 1 if one_head else H
    inputs = {"x": draw(B, N, dim), "context": draw(B, L, dim), "wq": draw(H * D, dim, scale=0.3), "wk": draw(own * D, dim, scale=0.3),
              "E": draw(longest, k, scale=0.2), "wo": draw(dim, H * D, scale=0.3), "bo": draw(dim)}
    if not share:
        inputs.update(wv=draw(own * D, dim, scale=0.3), F=draw(longest, k, scale=0.2))

    def function(x, context, wq, wk, E, wo, bo, wv=None, F=None):
        key, value = context @ wk.T, context @ (wk if wv is None else wv).T
        key, value = E[:L].T @ heads(key, own), (E if F is None else F)[:L].T @ heads(value, own)
        weights = (heads(x @ wq.T, H) @ key.transpose(-1, -2) * D ** -0.5).softmax(-1)
        return (weights @ value).transpose(1, 2).reshape(B, N, H * D) @ wo.T + bo

    save("linformer", name, with_gradients(function, inputs), H=H, k=k, causal=0, scale="1/sqrt(head_dim)")


def fairseq(name):
    B, H, N, k, dim, longest = 2, 3, 15, 5, 12, 20
    inputs = {"x": draw(B, N, dim), **{w: draw(dim, dim, scale=0.3) for w in ("wq", "wk", "wv", "wo")}, "E": draw(k, longest, scale=0.2)}

    def function(x, wq, wk, wv, wo, E):
        key, value = ((E[:, :N] @ x) @ w.T for w in (wk, wv))
        weights = (heads(x @ wq.T * (dim // H) ** -0.5, H) @ heads(key, H).transpose(-1, -2)).softmax(-1)
        return (weights @ heads(value, H)).transpose(1, 2).reshape(B, N, dim) @ wo.T

    save("linformer", name, with_gradients(function, inputs), H=H, k=k, causal=0, scale="1/sqrt(head_dim)")


# ---- torch's modules ----

def attention(name, **options):
    B, T, N, width, count = 2, 5, 7, 8, 2
    module = randomise(nn.MultiheadAttention(width, count, batch_first=True, **options))
    inputs = {"query": draw(B, T, width), "key": draw(B, N, options.get("kdim", width)), "value": draw(B, N, options.get("vdim", width))}
    inputs = {key: value.requires_grad_() for key, value in inputs.items()}
    hidden, added = torch.rand(B, N) < 0.3, draw(T, N)
    hidden[:, 0] = False
    out, weights = module(*inputs.values(), average_attn_weights=False, key_padding_mask=hidden, attn_mask=added)
    g = draw(*out.shape)
    (out * g).sum().backward()
    tensors = {**inputs, "g": g, "out": out, "attention": weights, "key_padding_mask": hidden, "additive_mask": added}
    tensors.update({"grad." + key: value.grad for key, value in inputs.items()})
    save("transformer-block", "multi-head attention", of_module(module, tensors), case=name, heads=count, f32_error="{}", **options)
    os.replace(os.path.join(HERE, "formula-transformer-block-multi-head attention.safetensors"), os.path.join(HERE, f"formula-transformer-block-{name}.safetensors"))


def gru(name, layers, both, batch_first, packed, bias):
    B, T, I, H = 3, 6, 4, 3
    module = randomise(nn.GRU(I, H, layers, bias=bias, bidirectional=both, batch_first=batch_first))
    x = draw(*((B, T, I) if batch_first else (T, B, I))).requires_grad_()
    h0 = draw(layers * (1 + both), B, H).requires_grad_()
    lengths = torch.tensor([6, 4, 1])
    if packed:
        out, hn = module(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=batch_first), h0)
        out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=batch_first, total_length=T)
    else:
        out, hn = module(x, h0)
    g, g_hn = draw(*out.shape), draw(*hn.shape)
    ((out * g).sum() + (hn * g_hn).sum()).backward()
    tensors = {"x": x, "h0": h0, "out": out, "hn": hn, "g": g, "g_hn": g_hn, "grad.x": x.grad, "grad.h0": h0.grad}
    if packed:
        tensors["lengths"] = lengths.int()
    save("gru", "gru", of_module(module, tensors), case=name, num_layers=layers, bidirectional=both, bias=bias, batch_first=batch_first, f32_error="{}")
    os.replace(os.path.join(HERE, "formula-gru-gru.safetensors"), os.path.join(HERE, f"formula-gru-{name}.safetensors"))


def loss(name, function, input_name, inputs, **metadata):
    inputs = {key: value.clone() for key, value in inputs.items()}
    value = inputs[input_name].requires_grad_()
    result = function(inputs)
    g = draw(*result.shape) if result.dim() else torch.ones(())
    (result * g).sum().backward()
    tensors = {**inputs, "loss": result.reshape(-1) if not result.dim() else result, "grad." + input_name: value.grad}
    if result.dim():
        tensors["g"] = g
    save("loss", name, tensors, case=name, f32_error="{}", **metadata)


def losses():
    rows = {"logits": draw(7, 5), "target": torch.tensor([1, 4, -100, 0, 2, 2, -100], dtype=torch.int32), "class_weight": draw(5).abs()}
    loss("ce_none", lambda t: F.cross_entropy(t["logits"], t["target"].long(), t["class_weight"], label_smoothing=0.15, reduction="none"), "logits", rows,
         file="torch.nn.functional.cross_entropy", label_smoothing=0.15, ignore_index=-100, reduction="none")
    for name, function, arguments in (("huber", F.huber_loss, {"delta": 0.7, "reduction": "sum"}), ("l1", F.l1_loss, {}), ("mse", F.mse_loss, {"reduction": "none"})):
        loss(name, lambda t: function(t["input"], t["target"], **arguments), "input", {"input": draw(3, 4), "target": draw(3, 4)},
             file=f"torch.nn.functional.{name}_loss", arguments=json.dumps(arguments))


def amsgrad():
    shapes = [[3, 4], [5]]
    parameters = [draw(*shape).requires_grad_() for shape in shapes]
    tensors = {f"param.{i}": p.detach().clone() for i, p in enumerate(parameters)}
    optimiser = torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.05, amsgrad=True)
    for step in range(4):
        for i, p in enumerate(parameters):
            p.grad = tensors[f"grad.step{step}.{i}"] = draw(*p.shape)
        optimiser.step()
        for i, p in enumerate(parameters):
            tensors[f"param_after.step{step}.{i}"] = p.detach().clone()
    for i, p in enumerate(parameters):
        for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
            tensors[f"state.{key}.{i}"] = optimiser.state[p][key]
    save("optimizer", "amsgrad", tensors, file="torch.optim.AdamW", steps=4, lr=0.02, betas="[0.9, 0.999]", eps=1e-8, weight_decay=0.05, amsgrad="true", f32_error="{}")


if __name__ == "__main__":
    torch.manual_seed(3)
    softmax()
    performers()
    tatp22("tatp22_kv_conv", "kv", "convolution", input_keep=True)
    tatp22("tatp22_none_noparams", "none", "no_params", query_keep=True)
    tatp22("tatp22_causal", "headwise", "learnable", causal=1)
    lucidrains("lucidrains_context", False, False)
    lucidrains("lucidrains_onekv_share", True, True)
    fairseq("fairseq_shared")
    attention("mha_bias_zero_masks", add_bias_kv=True, add_zero_attn=True)
    attention("mha_widths", kdim=5, vdim=3, add_bias_kv=True)
    gru("packed", 2, True, True, True, True)
    gru("no_bias", 3, False, False, False, False)
    losses()
    amsgrad()
