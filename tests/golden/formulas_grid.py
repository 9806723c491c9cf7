#!/usr/bin/env python3
"""Writes the formula-*.safetensors of mechanisms on grids: as formulas.py does, whose functions it uses."""
import torch

from formulas import draw, heads, save, with_gradients


def cells(*shape):
    """Coordinates of every position, [positions, axes]."""
    return torch.stack(torch.meshgrid(*[torch.arange(size) for size in shape], indexing="ij"), -1).reshape(-1, len(shape))


def masked(q, k, v, keep):
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(~keep, -1e300).softmax(-1) @ v


# ---- axial attention with projections for each axis ----

def axial(name, shape, sequential, B=2, E=8, H=2, inner=6):
    count, axes = cells(*shape).shape[0], len(shape)

    def along(x, axis, w):
        at = cells(*shape)
        others = [a for a in range(axes) if a != axis]
        keep = (at[:, None, others] == at[None, :, others]).all(-1)
        k, v = (x @ w[f"wkv_{axis}"].T).chunk(2, -1)
        y = masked(heads(x @ w[f"wq_{axis}"].T, H), heads(k, H), heads(v, H), keep)
        return y.transpose(1, 2).reshape(B, count, inner) @ w[f"wo_{axis}"].T + w[f"bo_{axis}"]

    def function(x, **w):
        rows = x.reshape(B, count, E)
        if sequential:
            for axis in range(axes):
                rows = along(rows, axis, w)
        else:
            rows = sum(along(rows, axis, w) for axis in range(axes))
        return rows.reshape(x.shape)

    inputs = {"x": draw(B, *shape, E)}
    for axis in range(axes):
        inputs.update({f"wq_{axis}": draw(inner, E, scale=0.4), f"wkv_{axis}": draw(2 * inner, E, scale=0.4), f"wo_{axis}": draw(E, inner, scale=0.4),
                       f"bo_{axis}": draw(E)})
    save("axial", name, with_gradients(function, inputs), case=name, H=H)


def axial_position():
    positions = torch.tensor([[0, 1, 2, 3, 4, 11], [7, 7, 5, 0, 9, 10]], dtype=torch.int32)

    def function(w0, w1):
        return torch.cat([w0[positions.long() // 4, 0], w1[0, positions.long() % 4]], -1)

    save("axial_position", "small", {**with_gradients(function, {"w0": draw(3, 1, 2), "w1": draw(1, 4, 3)}), "position_ids": positions})


# ---- patterns on an image ----

def pattern(name, kind, rows, columns, arguments, keep, B=1, H=2, D=5):
    at = cells(rows, columns)
    mask = keep(at[:, None], at[None, :])
    tensors = with_gradients(lambda q, k, v: masked(q, k, v, mask), {x: draw(B, H, rows * columns, D) for x in "qkv"})
    save("pattern_2d", name, {**tensors, "mask": mask}, variant=kind, case=name, grid=f"({rows}, {columns})", args=arguments, scale="1/sqrt(D)")


def patterns():
    pattern("axial", "axial_2d_pattern", 4, 7, "()", lambda x, y: (x == y).any(-1))
    pattern("manhattan", "local_2d_pattern", 6, 7, "(3, 1.0)", lambda x, y: (x - y).abs().sum(-1) < 3)
    pattern("dilated", "dilated_2d_pattern", 7, 5, "(2,)", lambda x, y: ((x - y) % 2 == 0).all(-1))
    pattern("swin", "swin_attention_pattern", 7, 8, "(3, 1)", lambda x, y: ((x + 2) // 3 == (y + 2) // 3).all(-1))


# ---- LongNet, zeros that fill up the last segment in sight; gradients with and without those of the mixture ----

def longnet(name, N=38, H=3, D=4, segments=(9, 32), ratios=(1, 2)):
    def pair(q, k, v, h, segment, ratio):
        length = -(-N // segment) * segment
        offset = h // -(-H // ratio)
        q, k, v = (torch.cat([x, torch.zeros(length - N, D, dtype=x.dtype)]) for x in (q, k, v))
        place = torch.arange(length)
        kept = place % segment % ratio == offset
        keep = (place[:, None] // segment == place // segment) & kept[:, None] & kept
        scores = (q @ k.T * D ** -0.5).masked_fill(~keep, -1e300)
        total = torch.where(kept, scores.logsumexp(-1), torch.tensor(-1e8, dtype=q.dtype))
        return torch.where(kept[:, None], scores.softmax(-1) @ v, torch.zeros((), dtype=q.dtype))[:N], total[:N]

    def function(q, k, v, constant):
        out = []
        for h in range(H):
            outs, totals = zip(*[pair(q[0, h], k[0, h], v[0, h], h, s, r) for s, r in zip(segments, ratios)])
            weights = torch.stack(totals).softmax(0)
            out.append(sum(w[:, None] * y for w, y in zip(weights.detach() if constant else weights, outs)))
        return torch.stack(out)[None]

    inputs = {x: draw(1, H, N, D) for x in "qkv"}
    state = torch.random.get_rng_state()
    tensors = with_gradients(lambda q, k, v: function(q, k, v, True), inputs)
    torch.random.set_rng_state(state)      # the same g
    full = with_gradients(lambda q, k, v: function(q, k, v, False), inputs)
    tensors.update({f"d{x}_full": full["d" + x] for x in "qkv"})
    save("longnet_dilated", name, tensors, case=name, segment_lengths=list(segments), dilated_ratios=list(ratios), causal=0, scale="1/sqrt(D)")


if __name__ == "__main__":
    torch.manual_seed(5)
    axial("seq_3x2x4", (3, 2, 4), True)
    axial("sum_4x5", (4, 5), False)
    axial_position()
    patterns()
    longnet("padded")
