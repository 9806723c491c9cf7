#!/usr/bin/env python3
"""formula-*.safetensors of the linear mechanisms, as formulas.py writes the others: python3 formulas_linear.py"""
import torch
import torch.nn.functional as F

from formulas import draw, save, with_gradients


def quotient(q, k, v, allowed, denominator):
    weights = (q @ k.transpose(-1, -2)) * allowed
    return weights @ v / denominator(weights.sum(-1, keepdim=True))


def efficient_buckets(bucket):
    """Causal efficient attention whose rows see earlier buckets alone, with masked keys."""
    B, H, N, D, M = 2, 2, 29, 6, 5
    keep = torch.rand(B, N) < 0.8
    keep[:, 0] = True
    index = torch.arange(N)
    allowed = (index[None, :] < (index[:, None] // bucket) * bucket).double()[None, None] * keep[:, None, None]

    def function(q, k, v):
        return quotient(q.softmax(-1) * D ** -0.5, k.exp(), v, allowed, lambda d: d.clamp(min=1e-3))

    tensors = with_gradients(function, {"q": draw(B, H, N, D), "k": draw(B, H, N, D), "v": draw(B, H, N, M)})
    save("linear_attention", f"efficient_causal_bucket{bucket}_mask", {**tensors, "mask_keep": keep}, causal=1, bucket_size=bucket, f32_error="{}")


def efficient_mask():
    B, H, N, D, M = 2, 2, 23, 6, 5
    keep = torch.rand(B, N) < 0.8

    def function(q, k, v):
        k = k.masked_fill(~keep[:, None, :, None], -1e300).softmax(-2)
        return (q.softmax(-1) * D ** -0.5) @ (k.transpose(-1, -2) @ v)

    tensors = with_gradients(function, {"q": draw(B, H, 17, D), "k": draw(B, H, N, D), "v": draw(B, H, N, M)})
    save("linear_attention", "efficient_noncausal_mask", {**tensors, "mask_keep": keep}, causal=0, f32_error="{}")


def elu_lengths():
    B, H, N, D, M = 2, 2, 31, 6, 5
    lengths = torch.tensor([31, 19], dtype=torch.int32)
    allowed = torch.ones(N, N).double().tril()[None, None] * (torch.arange(N)[None] < lengths[:, None])[:, None, None]

    def function(q, k, v):
        return quotient(F.elu(q) + 1, F.elu(k) + 1, v, allowed, lambda d: d + 1e-6)

    tensors = with_gradients(function, {"q": draw(B, H, N, D), "k": draw(B, H, N, D), "v": draw(B, H, N, M)})
    save("causal_linear", "causal_linear_lengths", {**tensors, "key_lengths": lengths}, causal="true", f32_error="{}")


# ---- modules ----

def split(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def join(x):
    return x.transpose(1, 2).flatten(2)


def projections(width, **rows):
    inputs = {name: draw(*shape) for name, shape in rows.items()}
    for name in "qkv":
        inputs["w" + name], inputs["b" + name] = draw(width, width, scale=width ** -0.5), draw(width, scale=0.3)
    return inputs


def rfa(name, causal, sigma, masked):
    B, N, width, H, m, tau = 2, 15, 12, 2, 8, 0.8
    D = width // H
    W = draw(H, m, D)
    keep = torch.rand(B, N) < (0.7 if masked else 2)
    keep[:, 0] = True
    allowed = (torch.ones(N, N).double().tril() if causal else torch.ones(N, N).double())[None, None] * keep[:, None, None]

    def function(x, wq, bq, wk, bk, wv, bv, wo, bo, sigma=None):
        q, k, v = (split(F.linear(x, w, b), H) for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        directions = (W if sigma is None else W * sigma[:, None]) / tau

        def features(y):
            u = y / (y.norm(dim=-1, keepdim=True) + 1e-3) @ directions.transpose(-1, -2)
            return 0.1 * torch.cat([u.sin(), u.cos()], -1)

        out = quotient(features(q), features(k), v, allowed, lambda d: (d if causal else d.abs()).clamp(min=1.0))
        return F.linear(join(out), wo, bo)

    inputs = {**projections(width, x=(B, N, width)), "wo": draw(width, width, scale=0.3), "bo": draw(width)}
    if sigma:
        inputs["sigma"] = 1 + 0.2 * draw(H, D)
    tensors = {**with_gradients(function, inputs), "random_matrices": W}
    if masked:
        tensors["mask_keep"] = keep
    save("rfa", name, tensors, H=H, proj_dim=m, tau=tau, causal=int(causal), f32_error="{}")


def cosformer(name, causal, other):
    B, T, N, width, H = 2, 14, 19 if other else 14, 12, 2
    longest = max(T, N)

    def function(x, wq, bq, wk, bk, wv, bv, xk=None):
        xk = x if xk is None else xk
        q, k, v = split(F.linear(x, wq, bq), H).relu(), split(F.linear(xk, wk, bk), H).relu(), split(F.linear(xk, wv, bv), H)
        distance = torch.arange(T)[:, None].double() - torch.arange(N)[None].double()
        allowed = torch.cos(torch.pi / 2 * distance / longest) * (distance >= 0 if causal else 1)
        return join(quotient(q, k, v, allowed, lambda d: d.clamp(min=1e-6)))

    rows = {"x": (B, T, width), **({"xk": (B, N, width)} if other else {})}
    save("cosformer", name, with_gradients(function, projections(width, **rows)), H=H, causal=int(causal), f32_error="{}")


# ---- Nystroemformer ----

def inverse(A, divisor, iterations):
    Z, I = A.transpose(-1, -2) / divisor, torch.eye(A.shape[-1]).double()
    for _ in range(iterations):
        P = A @ Z
        Z = Z @ (13 * I - P @ (15 * I - P @ (7 * I - P))) / 4
    return Z


def depthwise(v, w):
    B, H, N, M = v.shape
    rows = F.pad(v, (0, 0, w.shape[1] // 2, w.shape[1]))
    return sum(w[None, :, t, None, None] * rows[:, :, t:t + N] for t in range(w.shape[1]))


def nystrom_mlpen():
    B, H, N, D, m, K = 2, 2, 24, 5, 6, 4
    keep = torch.rand(B, N) < 0.8

    def function(q, k, v, conv_w):
        mask = keep[:, None, :, None].double()
        q, k = q * mask * D ** -0.25, k * mask * D ** -0.25
        ql, kl = (x.reshape(B, H, m, N // m, D).mean(-2) for x in (q, k))
        A2 = (ql @ kl.transpose(-1, -2)).softmax(-1)
        A3 = (ql @ k.transpose(-1, -2) - 1e9 * (1 - mask.transpose(-1, -2))).softmax(-1)
        out = (q @ kl.transpose(-1, -2)).softmax(-1) @ inverse(A2, A2.sum(-2).max(), 5) @ (A3 @ v)
        return out + depthwise(v * mask, conv_w)

    tensors = with_gradients(function, {"q": draw(B, H, N, D), "k": draw(B, H, N, D), "v": draw(B, H, N, D), "conv_w": draw(H, K, scale=0.3)})
    save("nystromformer", "mlpen_original_even_conv", {**tensors, "mask_keep": keep}, num_landmarks=m, pinv_iterations=5, pinv_init="original",
         conv_kernel=K, scale=D ** -0.5, f32_error="{}")


def nystrom_lucidrains(name, masked):
    """Padding in front; with a mask a landmark that has no row, and uniform rows."""
    B, N, width, H, D, m, K = 2, 20, 8, 2, 4, 6, 5
    front = m - N % m
    keep = torch.rand(B, N) < 0.7
    keep[0, 8:14] = False
    hidden = torch.cat([torch.zeros(B, front, dtype=torch.bool), keep], 1) if masked else torch.ones(B, N + front, dtype=torch.bool)

    def pairs(s, rows, columns):
        return s.masked_fill(~(rows[:, None, :, None] & columns[:, None, None]), -1e300) if masked else s

    def function(x, wqkv, wo, bo, conv_w):
        x = F.pad(x, (0, 0, front, 0))
        q, k, v = (split(y, H) * hidden[:, None, :, None] for y in F.linear(x, wqkv).chunk(3, -1))
        q = q * D ** -0.5
        length = (N + front) // m
        count = hidden.reshape(B, m, length).sum(-1)
        divisor = (count.double() + 1e-8)[:, None, :, None] if masked else length
        ql, kl = (y.reshape(B, H, m, length, D).sum(-2) / divisor for y in (q, k))
        real = count > 0
        A1 = pairs(q @ kl.transpose(-1, -2), hidden, real).softmax(-1)
        A2 = pairs(ql @ kl.transpose(-1, -2), real, real).softmax(-1)
        A3 = pairs(ql @ k.transpose(-1, -2), real, hidden).softmax(-1)
        out = A1 @ inverse(A2, A2.sum(-2).max() * A2.sum(-1).max(), 6) @ (A3 @ v) + depthwise(v, conv_w)
        return F.linear(join(out), wo, bo)[:, front:]

    tensors = with_gradients(function, {"x": draw(B, N, width), "wqkv": draw(3 * H * D, width), "wo": draw(width, H * D, scale=0.3), "bo": draw(width),
                                        "conv_w": draw(H, K, scale=0.3)})
    if masked:
        tensors["mask_keep"] = keep
    save("nystromformer", name, tensors, H=H, head_dim=D, num_landmarks=m, pinv_iterations=6, pinv_init="global", scale="1/sqrt(D)", f32_error="{}")


def nystrom_xformers():
    B, H, N, D, m, K = 2, 2, 23, 5, 6, 5
    keep = torch.rand(B, N) < 0.8

    def means(x):
        short, length = m - N % m, N // m
        cut = short * length
        return torch.cat([x[:, :, :cut].reshape(B, H, short, length, D).mean(-2), x[:, :, cut:].reshape(B, H, m - short, length + 1, D).mean(-2)], 2)

    def function(q, k, v, conv_w):
        mask = keep[:, None, :, None].double()
        q, k, scale = q * mask, k * mask, D ** -0.5
        ql, kl = means(q), means(k)
        A2 = (scale * ql @ kl.transpose(-1, -2)).softmax(-1)
        A3 = (scale * ql @ k.transpose(-1, -2)).masked_fill(~keep[:, None, None], -1e300).softmax(-1)
        Z = inverse(A2, A2.sum(-2).amax(-1)[..., None, None], 6)
        return (scale * q @ kl.transpose(-1, -2)).softmax(-1) @ Z @ (A3 @ v) + depthwise(v, conv_w)

    tensors = with_gradients(function, {"q": draw(B, H, N, D), "k": draw(B, H, N, D), "v": draw(B, H, N, D), "conv_w": draw(H, K, scale=0.3)})
    save("nystromformer", "xformers_uneven_exact_mask", {**tensors, "mask_keep": keep}, num_landmarks=m, pinv_iterations=6, pinv_init="exact",
         scale="1/sqrt(D) on each of the three products", f32_error="{}")


if __name__ == "__main__":
    torch.manual_seed(11)
    efficient_buckets(8)
    efficient_mask()
    elu_lengths()
    rfa("causal_sigma_mask", True, True, True)
    rfa("cross_plain", False, False, False)
    cosformer("causal_n14", True, False)
    cosformer("cross_n14_n19", False, True)
    nystrom_mlpen()
    nystrom_lucidrains("lucidrains_pad_conv", False)
    nystrom_lucidrains("lucidrains_pad_mask", True)
    nystrom_xformers()
