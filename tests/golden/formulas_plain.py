#!/usr/bin/env python3
"""Writes formula-{aft,synthesizer,long_short,fastformer}-*.safetensors: variants that no file of a public implementation here covers, or covers small.

Outputs in float64 from the formulas below, gradients by central differences of them (good to about 1e-9), from inputs that are exact in
float32. Needs nothing but Python, and only to write the files anew: python3 formulas_plain.py
"""
import json
import math
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
STEP = 1e-5


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


class Array:
    def __init__(self, shape, values):
        self.shape, self.values = list(shape), values

    def __getitem__(self, index):
        """Element or row, by a tuple of indexes."""
        index = index if isinstance(index, tuple) else (index,)
        at, size = 0, 1
        for axis in range(len(self.shape)):
            at = at * self.shape[axis] + (index[axis] if axis < len(index) else 0)
        for axis in range(len(index), len(self.shape)):
            size *= self.shape[axis]
        return self.values[at] if len(index) == len(self.shape) else self.values[at:at + size]


def draw(*shape, scale=1.0):
    return Array(shape, [single(random.gauss(0, scale)) for _ in range(math.prod(shape))])


def linear(x, weight, bias=None):
    """x: rows; weight [out, in]."""
    return [[sum(w * v for w, v in zip(weight[o], row)) + (bias[o] if bias else 0) for o in range(weight.shape[0])] for row in x]


def softmax(scores):
    top = max(scores)
    powers = [math.exp(s - top) for s in scores]
    return [p / sum(powers) for p in powers]


def mix(weights, rows):
    return [sum(w * row[c] for w, row in zip(weights, rows)) for c in range(len(rows[0]))]


def dot(x, y):
    return sum(a * b for a, b in zip(x, y))


def save(mechanism, name, function, inputs, masks=(), constants=(), **metadata):
    """function(inputs) -> Array. Adds g, out and the gradients of all inputs; masks and constants (int32 where they are whole) have none."""
    out = function(inputs)
    g = draw(*out.shape)
    tensors = {**inputs, "g": g, "out": out}
    for key, array in inputs.items():
        gradient = []
        for i, value in enumerate(array.values):
            sides = []
            for sign in (1, -1):
                array.values[i] = value + sign * STEP
                sides.append(dot(function(inputs).values, g.values))
            array.values[i] = value
            gradient.append((sides[0] - sides[1]) / (2 * STEP))
        tensors["d" + key] = Array(array.shape, gradient)
    meta = {"mechanism": mechanism, "variant": name, "source": "float64 Python, tests/golden/formulas_plain.py"}
    header, blobs, end = {"__metadata__": {**meta, **{key: str(value) for key, value in metadata.items()}}}, [], 0
    for key, array in [*tensors.items(), *dict(masks).items(), *dict(constants).items()]:
        kind = "B" if key in dict(masks) else "i" if key in dict(constants) and isinstance(array.values[0], int) else "f"
        blob = struct.pack(f"{len(array.values)}{kind}", *array.values)
        header[key] = {"dtype": {"B": "U8", "i": "I32", "f": "F32"}[kind], "shape": array.shape, "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(HERE, f"formula-{mechanism}-{name}.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def batch(function, x, *more):
    """function(rows of one entry) for every entry of x, as one array."""
    B, N, width = x.shape
    rows = [function(b, [x[b, n] for n in range(N)]) for b in range(B)]
    return Array([B, N, len(rows[0][0])], [value for entry in rows for row in entry for value in row])


def projections(dim, out, bias, names="qkv", scale=0.5):
    tensors = {"w" + n: draw(out, dim, scale=scale) for n in names}
    if bias:
        tensors.update({"b" + n: draw(out, scale=0.3) for n in names})
    return tensors


# ---- attention-free transformer ----

def aft(name, B=2, N=9, L=11, dim=4, hidden=5, window=None, causal=False):
    def entry(t, b, x):
        q, k, v = (linear(x, t["w" + n]) for n in "qkv")
        rows = []
        for i in range(N):
            seen = [j for j in range(N) if not causal or j <= i]
            bias = [t["w"][i, j] if window is None or abs(i - j) < window else 0 for j in seen]
            row = []
            for c in range(hidden):
                weights = [math.exp(k[j][c] + w) for j, w in zip(seen, bias)]
                row.append(sum(w * v[j][c] for w, j in zip(weights, seen)) / sum(weights) / (1 + math.exp(-q[i][c])))
            rows.append(row)
        return linear(rows, t["wo"])

    inputs = {"x": draw(B, N, dim), **projections(dim, hidden, False), "wo": draw(dim, hidden, scale=0.5), "w": draw(L, L)}
    metadata = {"window": window} if window else {}
    save("aft", name, lambda t: batch(lambda b, x: entry(t, b, x), t["x"]), inputs, heads=1, causal=int(causal), **metadata)


# ---- Synthesizer ----

def random_with_products(B=2, N=7, L=8, dim=6, H=2):
    D = dim // H

    def entry(t, b, x):
        q, k, v = (linear(x, t["w" + n]) for n in "qkv")
        rows = [[] for _ in range(N)]
        for h in range(H):
            part = slice(h * D, (h + 1) * D)
            for i in range(N):
                scores = [t["r"][h, i, j] + dot(q[i][part], k[j][part]) / math.sqrt(D) for j in range(N)]
                rows[i] += mix(softmax(scores), [row[part] for row in v])
        return linear(rows, t["wo"], t["bo"])

    inputs = {"x": draw(B, N, dim), "r": draw(H, L, L), **projections(dim, dim, False), "wo": draw(dim, dim, scale=0.5), "bo": draw(dim)}
    save("synthesizer", "random_products", lambda t: batch(lambda b, x: entry(t, b, x), t["x"]), inputs, H=H, dot_product=1, causal=0)


def factorised_dense(B=2, N=12, dim=4, a=4, b=3):
    def entry(t, _, x):
        first, second, v = linear(x, t["wa"], t["ba"]), linear(x, t["wb"], t["bb"]), linear(x, t["wv"], t["bv"])
        return [mix(softmax([first[i][j % a] * second[i][j % b] for j in range(N)]), v) for i in range(N)]

    inputs = {"x": draw(B, N, dim), "wa": draw(a, dim), "ba": draw(a), "wb": draw(b, dim), "bb": draw(b), **projections(dim, dim, True, "v")}
    save("synthesizer", "factorized_dense_small", lambda t: batch(lambda b, x: entry(t, b, x), t["x"]), inputs, heads=1, causal=0)


def mixture(B=2, N=8, dim=4):
    def entry(t, _, x):
        q, k, v = (linear(x, t["w" + n]) for n in "qkv")
        return [mix(softmax([t["r"][i, j] + dot(q[i], k[j]) for j in range(N)]), v) for i in range(N)]

    inputs = {"x": draw(B, N, dim), "r": draw(N, N), **projections(dim, dim, False)}
    save("synthesizer", "mixture_unscaled_small", lambda t: batch(lambda b, x: entry(t, b, x), t["x"]), inputs, heads=1, causal=0)


def dense(B=1, H=2, N=8, L=9, D=4, M=3, hidden=5):
    def function(t):
        out = []
        for b in range(B):
            for h in range(H):
                q, v = [t["q"][b, h, n] for n in range(N)], [t["v"][b, h, n] for n in range(N)]
                scores = linear([[max(0, c) for c in row] for row in linear(q, t["w1"], t["b1"])], t["w2"], t["b2"])
                out += [c for i in range(N) for c in mix(softmax(scores[i][:i + 1]), v[:i + 1])]
        return Array([B, H, N, M], out)

    inputs = {"q": draw(B, H, N, D), "v": draw(B, H, N, M), "w1": draw(hidden, D), "b1": draw(hidden), "w2": draw(L, hidden), "b2": draw(L)}
    save("synthesizer", "dense_causal_small", function, inputs, causal=1)


def random_alone(B=2, H=2, N=7, L=9, M=3):
    def function(t):
        out = []
        for b in range(B):
            for h in range(H):
                v = [t["v"][b, h, n] for n in range(N)]
                out += [c for i in range(N) for c in mix(softmax(t["r"][h, i][:N]), v)]
        return Array([B, H, N, M], out)

    save("synthesizer", "random_small", function, {"v": draw(B, H, N, M), "r": draw(H, L, L)}, causal=0)


# ---- Long-Short Transformer, the long-range arena's form ----

def normalise(row, weight, bias):
    mean = sum(row) / len(row)
    rstd = 1 / math.sqrt(sum((x - mean) ** 2 for x in row) / len(row) + 1e-5)
    return [(x - mean) * rstd * w + b for x, w, b in zip(row, weight.values, bias.values)]


def long_short(B=2, N=11, H=2, D=2, r=2, window=3):
    E, reach, keep = H * D, max(window // 2, 1), [1] * 19 + [0] * 3

    def entry(t, b, x):
        visible = [n for n in range(N) if keep[b * N + n]]
        q, k, v = (linear(x, t["w" + n], t["b" + n]) for n in "qkv")
        local = [[normalise(row, t["ln_l_w"], t["ln_l_b"]) for row in side] for side in (k, v)]
        weights = linear(x, t["w_landmark"], t["b_landmark"])
        parts = [softmax([weights[n][m] for n in visible]) for m in range(H * r)]
        short = []
        for side in local:
            rows = [[c for h in range(H) for c in mix(parts[h * r + m], [side[n][h * D:(h + 1) * D] for n in visible])] for m in range(r)]
            short.append([normalise(row, t["ln_s_w"], t["ln_s_b"]) for row in rows])
        out = []
        for i in range(N):
            u = i // window * window
            near = [n for n in visible if u - reach <= n < u + window + reach]
            keys, values = (short[s] + [local[s][n] for n in near] for s in range(2))
            row = []
            for h in range(H):
                part = slice(h * D, (h + 1) * D)
                row += mix(softmax([dot(q[i][part], key[part]) / math.sqrt(D) for key in keys]), [value[part] for value in values])
            out.append(row if i in visible else [0] * E)
        return linear(out, t["wo"], t["bo"])

    inputs = {"x": draw(B, N, E), **projections(E, E, True), "wo": draw(E, E), "bo": draw(E), "ln_s_w": draw(E), "ln_s_b": draw(E),
              "ln_l_w": draw(E), "ln_l_b": draw(E), "w_landmark": draw(H * r, E), "b_landmark": draw(H * r)}
    save("long_short", "small", lambda t: batch(lambda b, x: entry(t, b, x), t["x"]), inputs, masks=[("mask", Array([B, N], keep))], H=H, window_size=window,
         num_landmarks=r, causal="false", scale="1/sqrt(D) applied to q", zero_in_exact_arithmetic='["db_landmark"]')


# ---- Fastformer ----

def fastformer(name, B=2, H=2, N=7, D=3, keep=None):
    def function(t):
        out = []
        for b in range(B):
            for h in range(H):
                q, k, v = ([t[x][b, h, n] for n in range(N)] for x in "qkv")
                seen = [n for n in range(N) if keep is None or keep[b * N + n]]

                def total(weight, rows):
                    return mix(softmax([dot(weight, row) / math.sqrt(D) for row in rows]), rows)

                query = total(t["wq"][h], [q[n] for n in seen])
                key = total(t["wk"][h], [[x * y for x, y in zip(query, k[n])] for n in seen])
                for n in range(N):
                    met = [x * y for x, y in zip(key, v[n])] if n in seen else [0] * D
                    out += [q[n][c] + sum(met[r] * t["w"][h, r, c] for r in range(D)) for c in range(D)]
        return Array([B, H, N, D], out)

    inputs = {**{x: draw(B, H, N, D) for x in "qkv"}, "wq": draw(H, D), "wk": draw(H, D), "w": draw(H, D, D)}
    save("fastformer", name, function, inputs, masks=[("mask_keep", Array([B, N], keep))] if keep else ())


if __name__ == "__main__":
    random.seed(3)
    aft("full_causal_small", causal=True)
    aft("full_small")
    aft("local_small", window=3)
    aft("local_causal_small", window=4, causal=True)
    random_with_products()
    factorised_dense()
    mixture()
    dense()
    random_alone()
    long_short()
    fastformer("small")
    fastformer("masked", keep=[1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0])
