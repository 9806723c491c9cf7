#!/usr/bin/env python3
"""Writes formula-*.safetensors of attention over patterns of pairs: small files of every rule whose public files are large.

As formulas_plain.py, whose tools it uses. Needs nothing but Python, and only to write the files anew: python3 formulas_patterns.py
"""
import math
import random

from formulas_plain import Array, dot, draw, linear, mix, save, softmax


def head(q, k, v, times, score=None):
    """Row i sees key j times(i, j) times; score(i, j) replaces the product where it is not None. Rows as lists."""
    scale, rows = 1 / math.sqrt(len(q[0])), []
    for i, row in enumerate(q):
        seen = [j for j in range(len(k)) for _ in range(times(i, j))]
        given = [score and score(i, j) for j in seen]
        scores = [scale * dot(row, k[j]) if s is None else s for j, s in zip(seen, given)]
        rows.append(mix(softmax(scores), [v[j] for j in seen]) if seen else [0.0] * len(v[0]))
    return rows


def heads(t, times, score=None, names="qkv", change=None):
    """[B,H,N,D] by heads; times(h, i, j). change(rows) of one head's q, k, v first."""
    B, H, N, _ = t[names[0]].shape
    out = []
    for b in range(B):
        for h in range(H):
            rows = [[t[name][b, h, n] for n in range(N)] for name in names]
            rows = change(*rows) if change else rows
            out += [x for row in head(*rows, lambda i, j: int(times(h, i, j)), score)[:N] for x in row]
    return Array([B, H, N, len(out) // (B * H * N)], out)


def inputs(B, H, N, D, names="qkv"):
    return {name: draw(B, H, N, D) for name in names}


def pattern(mechanism, name, times, N, H=2, D=3, masks=(), **metadata):
    save(mechanism, name, lambda t: heads(t, times), inputs(1, H, N, D), masks, **metadata)


# ---- longformer ----

def longformer():
    for causal in (False, True):
        dilation = [1, 3]

        def near(h, i, j):
            return (j - i) % dilation[h] == 0 and abs(j - i) <= 2 * dilation[h] and not (causal and j > i)
        pattern("longformer", "window_causal" if causal else "window", near, 14, masks=[("dilation", Array([2], dilation))], window_one_sided=2, causal=causal)
    B, N, H, E = 2, 7, 2, 4
    kind = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    names = ["q", "k", "v", "q_g", "k_g", "v_g"]

    def module(t):
        out = []
        for b in range(B):
            rows = {n: linear([t["x"][b, i] for i in range(N)], t["w" + n], t["b" + n].values) for n in names}
            special, result = kind[b * N:(b + 1) * N], [[] for _ in range(N)]
            for h in range(H):
                q, k, v, qg, kg, vg = ([row[h * E // H:(h + 1) * E // H] for row in rows[n]] for n in names)
                ordinary = head(q, k, v, lambda i, j: int(special[j] or abs(i - j) <= 1))
                every = head(qg, kg, vg, lambda i, j: 1)
                for i in range(N):
                    result[i] += every[i] if special[i] else ordinary[i]
            out += [x for row in result for x in row]
        return Array([B, N, E], out)
    tensors = {"x": draw(B, N, E, scale=0.4)}
    for n in names:
        tensors["w" + n], tensors["b" + n] = draw(E, E, scale=0.5), draw(E, scale=0.1)
    save("longformer", "global", module, tensors, [("token_kind", Array([B, N], kind))], window_one_sided=1, H=H, causal=False)


# ---- local_chunked ----

def local():
    def circular(h, i, j):
        return (i // 3 - j // 3) % 5 in (0, 1, 4)
    pattern("local_chunked", "hf_circular", circular, 14, variant="chunked local attention (reformer)", chunk_length=3, num_chunks_before=1,
            num_chunks_after=1, causal=False)
    pattern("local_chunked", "ft_even", lambda h, i, j: i - 2 <= j <= i + 1, 11, variant="local", context=4, causal=False)
    windowed = dict(variant="windowed local attention", window_size=4, look_backward=1, exact_windowsize=False)

    def padded(q, k, v):
        more = [[0.0] * len(k[0])] * (-len(k) % 4)
        return q + more, k + more, v + more
    save("local_chunked", "luci_padded", lambda t: heads(t, lambda h, i, j: abs(i // 4 - j // 4) <= 1, change=padded), inputs(1, 2, 10, 3),
         look_forward=1, causal=False, shared_qk=False, **windowed)

    def shared(x, v):
        lengths = [math.sqrt(dot(row, row)) for row in x]
        return x, [[c / length for c in row] for row, length in zip(x, lengths)], v
    save("local_chunked", "luci_shared", lambda t: heads(t, lambda h, i, j: j <= i and i // 4 - j // 4 <= 1, lambda i, j: -5e4 if i == j else None,
                                                         ["qk", "v"], shared),
         inputs(1, 2, 11, 3, ["qk", "v"]), look_forward=0, causal=True, shared_qk=True, **windowed)


# ---- sparse_transformer ----

def sparse_transformer():
    def near(h, i, j):
        return 0 <= i - j < 4

    def far(h, i, j):
        return j <= i and (i - j) % 4 == 0
    of = {"local": near, "strided": far, "local/strided": lambda h, i, j: (far if h else near)(h, i, j),
          "merged:local+strided": lambda h, i, j: near(h, i, j) or far(h, i, j)}
    for variant, times in of.items():
        pattern("sparse_transformer", variant.split(":")[0].replace("/", "_"), times, 14, variant=variant, l=4, causal=True)
    for verts, blocks, size in ((2, 1, 2), (1, 2, 1)):
        def fixed(h, i, j):
            to = 6 - h % verts * blocks * size
            return j <= i and (i // 6 == j // 6 or to - blocks * size <= j % 6 < to)
        pattern("sparse_transformer", f"fixed_verts{verts}", fixed, 20, variant="fixed (block-sparse)", l=6, blocksize=size, vertsize=blocks,
                num_verts=verts, causal=True)
    for causal in (False, True):
        def fairseq(h, i, j):
            start = i - 5 if i and i % 5 == 0 else i // 5 * 5
            summary = any(e - 2 <= j <= e for e in range(5, 30, 5))
            return (start <= j <= start + 5 or summary) and not (causal and j > i)
        pattern("sparse_transformer", "fairseq_uni" if causal else "fairseq_bi", fairseq, 15, variant=f"fixed (fairseq, {'uni' if causal else 'bi'}directional)",
                stride=5, expressivity=2, causal=causal)


# ---- bigbird, deepspeed_layouts ----

def blocks():
    size, count, drawn = 2, 8, 1
    chosen = [[random.randrange(count) for _ in range(drawn)] for _ in range(2 * (count - 2))]

    def bigbird(h, i, j):
        query, key = i // size, j // size
        if query in (0, count - 1):
            return 1
        return (abs(query - key) <= 1 or key in (0, count - 1)) + chosen[h * (count - 2) + query - 1].count(key)
    pattern("bigbird", "repeated", bigbird, size * count, block_size=size, num_random_blocks=drawn, causal=False,
            masks=[("rand_blocks", Array([2, count - 2, drawn], sum(chosen, []))), ("key_mask", Array([1, size * count], [1] * size * count))])
    for causal in (False, True):
        layout = [int(random.random() < 0.5 or i % 16 // 4 == i % 4) for i in range(2 * 16)]
        pattern("deepspeed_layouts", "causal" if causal else "whole", lambda h, i, j: layout[h * 16 + i // 4 * 4 + j // 4] and not (causal and j > i), 16,
                masks=[("layout", Array([2, 4, 4], layout))], block=4, token_level_causal_mask_added=causal)


if __name__ == "__main__":
    random.seed(20)
    longformer()
    local()
    sparse_transformer()
    blocks()
