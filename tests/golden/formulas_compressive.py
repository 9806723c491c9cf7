#!/usr/bin/env python3
"""Writes formula-compressive-transformer-small.safetensors: a Compressive Transformer of four segments with gated residuals, GLU feed-forward and
enhanced recurrence together, small enough to lie here (the public implementation's files are not).

Outputs in float64 from the definition written out below, one batch entry; gradients by central differences of it (about 1e-9 exact), with the
memories held at what they are, since they are constants of the gradient. Needs nothing but Python: python3 formulas_compressive.py
"""
import json
import math
import os
import random
import struct

from formulas_plain import Array, dot, linear, mix, softmax

HERE = os.path.dirname(os.path.abspath(__file__))
STEP = 1e-5
VOCAB, DIM, HEADS, T, DEPTH, MEMORY, COMPRESSED, RATE, SEGMENTS = 5, 4, 2, 3, 2, 4, 2, 2, 4
D = DIM // HEADS
random.seed(17)


def draw(*shape, scale=0.5, around=0.0):
    exact = [struct.unpack("f", struct.pack("f", around + random.gauss(0, scale)))[0] for _ in range(math.prod(shape))]
    return Array(shape, exact)


def parameters():
    p = {"pos_emb": draw(HEADS, T + MEMORY + COMPRESSED, D), "token_emb.weight": draw(VOCAB, DIM, scale=1),
         "to_logits.1.weight": draw(VOCAB, DIM), "to_logits.1.bias": draw(VOCAB)}
    for layer in range(DEPTH):
        for stem in (f"attn_layers.{layer}.", f"ff_layers.{layer}."):
            p[stem + "fn.norm.weight"], p[stem + "fn.norm.bias"] = draw(DIM, around=1, scale=0.2), draw(DIM, scale=0.2)
            p[stem + "gru.weight_ih"], p[stem + "gru.weight_hh"] = draw(3 * DIM, DIM), draw(3 * DIM, DIM)
            p[stem + "gru.bias_ih"], p[stem + "gru.bias_hh"] = draw(3 * DIM, scale=0.2), draw(3 * DIM, scale=0.2)
        inner = f"attn_layers.{layer}.fn.fn."
        p[inner + "compress_mem_fn.conv.weight"], p[inner + "compress_mem_fn.conv.bias"] = draw(DIM, DIM, RATE), draw(DIM, scale=0.2)
        p[inner + "to_q.weight"], p[inner + "to_kv.weight"] = draw(DIM, DIM), draw(2 * DIM, DIM)
        p[inner + "to_out.weight"], p[inner + "to_out.bias"] = draw(DIM, DIM), draw(DIM, scale=0.2)
        inner = f"ff_layers.{layer}.fn.fn."
        p[inner + "w1.weight"], p[inner + "w1.bias"] = draw(8 * DIM, DIM), draw(8 * DIM, scale=0.2)
        p[inner + "w2.weight"], p[inner + "w2.bias"] = draw(DIM, 4 * DIM), draw(DIM, scale=0.2)
    return p


def norm(p, stem, row):
    mean = sum(row) / DIM
    scale = 1 / math.sqrt(sum((x - mean) ** 2 for x in row) / DIM + 1e-5)
    return [(x - mean) * scale * w + b for x, w, b in zip(row, p[stem + "fn.norm.weight"].values, p[stem + "fn.norm.bias"].values)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def gated(p, stem, x, y):
    """GRUCell(input y, state x), row by row."""
    out = []
    a = linear(y, p[stem + "gru.weight_ih"], p[stem + "gru.bias_ih"].values)
    b = linear(x, p[stem + "gru.weight_hh"], p[stem + "gru.bias_hh"].values)
    for i, h, state in zip(a, b, x):
        r = [sigmoid(i[c] + h[c]) for c in range(DIM)]
        z = [sigmoid(i[DIM + c] + h[DIM + c]) for c in range(DIM)]
        n = [math.tanh(i[2 * DIM + c] + r[c] * h[2 * DIM + c]) for c in range(DIM)]
        out.append([(1 - z[c]) * n[c] + z[c] * state[c] for c in range(DIM)])
    return out


def heads(kv):
    return [([row[h * D:(h + 1) * D] for row in kv], [row[DIM + h * D:DIM + (h + 1) * D] for row in kv]) for h in range(HEADS)]


def attend(p, stem, x, past):
    q = linear(x, p[stem + "to_q.weight"])
    kv = heads(linear(past + x, p[stem + "to_kv.weight"]))
    rows = []
    for i in range(T):
        row = []
        for h in range(HEADS):
            own, (k, v) = q[i][h * D:(h + 1) * D], kv[h]
            scores = [(dot(own, k[j]) + dot(own, p["pos_emb"][h, j + T - 1 - i])) / math.sqrt(D) for j in range(len(past) + i + 1)]
            row += mix(softmax(scores), v[:len(scores)])
        rows.append(row)
    return linear(rows, p[stem + "to_out.weight"], p[stem + "to_out.bias"].values), q


def compress(p, stem, rows):
    rows = [[0.0] * DIM] * (len(rows) % RATE) + rows
    weight, bias = p[stem + "compress_mem_fn.conv.weight"], p[stem + "compress_mem_fn.conv.bias"].values
    return [[bias[o] + sum(weight[o, i, tap] * rows[at + tap][i] for i in range(DIM) for tap in range(RATE)) for o in range(DIM)]
            for at in range(0, len(rows) - RATE + 1, RATE)]


def reconstruction(p, stem, q, old, new):
    """Sum over queries of the squared difference of what they read from the old rows and from the compressed ones."""
    total = 0.0
    for row in q:
        for h in range(HEADS):
            read = [mix(softmax([dot(row[h * D:(h + 1) * D], key) / math.sqrt(D) for key in k]), v)
                    for k, v in (heads(linear(rows, p[stem + "to_kv.weight"]))[h] for rows in (old, new))]
            total += sum((a - b) ** 2 for a, b in zip(*read))
    return total


def segment(p, words, memories):
    """-> logits, new memories, and (layer's stem, queries, old memory, rows that fell out) of what was compressed."""
    x = [p["token_emb.weight"][w] for w in words]
    new, compressed = [], []
    for layer in range(DEPTH):
        stem = f"attn_layers.{layer}."
        memory, blocks = memories[(layer + 1) % DEPTH]
        own = [norm(p, stem, row) for row in x]
        y, q = attend(p, stem + "fn.fn.", own, blocks + memory)
        x = gated(p, stem, x, y)
        joined = memory + own
        out, fresh = joined[:max(0, len(joined) - MEMORY)], []
        if out:
            fresh = compress(p, stem + "fn.fn.", out)
            compressed.append((stem + "fn.fn.", q, memory, out))
        new.append((joined[-MEMORY:], (blocks + fresh)[-COMPRESSED:]))
        stem = f"ff_layers.{layer}."
        hidden = linear([norm(p, stem, row) for row in x], p[stem + "fn.fn.w1.weight"], p[stem + "fn.fn.w1.bias"].values)
        hidden = [[0.5 * a * (1 + math.erf(a / math.sqrt(2))) * b for a, b in zip(row[:4 * DIM], row[4 * DIM:])] for row in hidden]
        x = gated(p, stem, x, linear(hidden, p[stem + "fn.fn.w2.weight"], p[stem + "fn.fn.w2.bias"].values))
    return linear(x, p["to_logits.1.weight"], p["to_logits.1.bias"].values), new, compressed


def difference(array, function):
    gradient = []
    for i, value in enumerate(array.values):
        sides = []
        for sign in (1, -1):
            array.values[i] = value + sign * STEP
            sides.append(function())
        array.values[i] = value
        gradient.append((sides[0] - sides[1]) / (2 * STEP))
    return Array(array.shape, gradient)


def flat(rows):
    return [value for row in rows for value in row]


def main():
    p = parameters()
    words = [[random.randrange(VOCAB) for _ in range(T)] for _ in range(SEGMENTS)]
    tensors = {"param." + key: array for key, array in p.items()}
    memories = [[([], [])] * DEPTH]
    taught = []
    for s in range(SEGMENTS):
        out, new, compressed = segment(p, words[s], memories[s])
        memories.append(new)
        taught.append(compressed)
        tensors[f"data.{s}"], tensors[f"g.{s}"] = Array([1, T], words[s]), draw(1, T, VOCAB, scale=1)
        tensors[f"out.{s}"] = Array([1, T, VOCAB], flat(out))
        tensors[f"mem.{s}"] = Array([DEPTH, 1, len(new[0][0]), DIM], flat(flat(rows) for rows, _ in new))
        if new[0][1]:
            tensors[f"cmem.{s}"] = Array([DEPTH, 1, len(new[0][1]), DIM], flat(flat(rows) for _, rows in new))
    for s in range(SEGMENTS):
        loss = lambda s=s: sum(reconstruction(p, stem, q, old, compress(p, stem, out)) for stem, q, old, out in taught[s]) / (T * DIM * DEPTH)
        tensors[f"train.aux_loss.{s}"] = Array([1], [loss()])
    evaluated = lambda: sum(dot(flat(segment(p, words[s], memories[s])[0]), tensors[f"g.{s}"].values) for s in range(SEGMENTS))
    trained = lambda: sum(reconstruction(p, stem, q, old, compress(p, stem, out)) for of in taught for stem, q, old, out in of) / (T * DIM * DEPTH)
    for key, array in p.items():
        tensors["grad." + key] = difference(array, evaluated)
        if "conv" in key:
            tensors["train.grad." + key] = difference(array, trained)
    metadata = {"mechanism": "compressive-transformer", "case": "small", "variant": "whole model over consecutive segments",
                "source": "float64 Python, tests/golden/formulas_compressive.py", "vocab": VOCAB, "dim": DIM, "seq_len": T, "depth": DEPTH,
                "mem_len": MEMORY, "cmem_len": COMPRESSED, "cmem_ratio": RATE, "heads": HEADS, "segments": SEGMENTS, "batch": 1,
                "gru_gated_residual": True, "ff_glu": True, "enhanced_recurrence": True}
    header, blobs, end = {"__metadata__": {key: str(value) for key, value in metadata.items()}}, [], 0
    for key, array in tensors.items():
        whole = key.startswith("data.")
        blob = struct.pack(f"{len(array.values)}{'i' if whole else 'f'}", *array.values)
        header[key] = {"dtype": "I32" if whole else "F32", "shape": array.shape, "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(HERE, "formula-compressive-transformer-small.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


if __name__ == "__main__":
    main()
