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


if __name__ == "__main__":
    torch.manual_seed(11)
    efficient_buckets(8)
    efficient_mask()
    elu_lengths()
