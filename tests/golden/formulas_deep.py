#!/usr/bin/env python3
"""formula-{reversible,chunked_feed_forward}-*.safetensors, as formulas_plain.py writes its files: python3 formulas_deep.py"""
import math
import random

from formulas_plain import Array, batch, dot, draw, linear, mix, save, softmax


def norm(rows, weight, bias, eps):
    out = []
    for row in rows:
        mean = sum(row) / len(row)
        root = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row) + eps)
        out.append([(x - mean) / root * w + b for x, w, b in zip(row, weight.values, bias.values)])
    return out


def gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def mapped(rows, function):
    return [[function(x) for x in row] for row in rows]


def added(x, y):
    return [[a + b for a, b in zip(p, q)] for p, q in zip(x, y)]


# ---- Reformer layers, huggingface's form ----

def local(q, k, v, chunk):
    """Not causal: each chunk meets itself and the one before, around the ends."""
    chunks = len(q) // chunk
    rows = []
    for n, query in enumerate(q):
        keys = [m for c in sorted({n // chunk, (n // chunk - 1) % chunks}) for m in range(c * chunk, (c + 1) * chunk)]
        rows.append(mix(softmax([dot(query, k[m]) / math.sqrt(len(query)) for m in keys]), [v[m] for m in keys]))
    return rows


def hashed(qk, v, rotations, head, chunk, rounds, buckets):
    N, D = len(qk), len(qk[0])
    places, slots = [], []
    for t in range(rounds):
        bucket = []
        for row in qk:
            turned = [sum(row[d] * rotations[head, d, t, c] for d in range(D)) for c in range(buckets // 2)]
            turned += [-x for x in turned]
            bucket.append(max(range(buckets), key=lambda i: (turned[i], -i)))
        order = sorted(range(N), key=lambda n: (bucket[n], n))
        places.append({n: (t * N + place) // chunk for place, n in enumerate(order)})
        slots += order
    total = rounds * N // chunk
    keys = [[x / math.sqrt(dot(row, row) / D + 1e-6) / math.sqrt(D) for x in row] for row in qk]
    rows = []
    for n in range(N):
        scores, values = [], []
        for t in range(rounds):
            for c in (places[t][n], (places[t][n] - 1) % total):
                for m in slots[c * chunk:(c + 1) * chunk]:
                    scores.append(-1e5 if m == n else dot(qk[n], keys[m]))
                    values.append(v[m])
        rows.append(mix(softmax(scores), values))
    return rows


def heads(rows, H):
    D = len(rows[0]) // H
    return [[row[h * D:(h + 1) * D] for row in rows] for h in range(H)]


def stack(name, kinds, B=1, N=12, E=4, H=2, F=3, chunk=4, rounds=2, buckets=2, eps=1e-12):
    rotations = draw(H, E // H, rounds, buckets // 2)
    inputs = {"x": draw(B, N, E)}
    for i, kind in enumerate(kinds):
        at = f"layers.{i}."
        for part in ("attention", "feed_forward"):
            inputs[f"{at}{part}.layer_norm.weight"], inputs[f"{at}{part}.layer_norm.bias"] = draw(E), draw(E, scale=0.3)
        for projection in ("query_key", "value") if kind == "lsh" else ("query", "key", "value"):
            inputs[f"{at}attention.self_attention.{projection}.weight"] = draw(E, E, scale=0.5)
        inputs[f"{at}attention.output.dense.weight"] = draw(E, E, scale=0.5)
        for dense, out, into in (("dense", F, E), ("output", E, F)):
            inputs[f"{at}feed_forward.{dense}.dense.weight"], inputs[f"{at}feed_forward.{dense}.dense.bias"] = draw(out, into, scale=0.5), draw(out, scale=0.3)
    inputs["layer_norm.weight"], inputs["layer_norm.bias"] = draw(2 * E), draw(2 * E, scale=0.3)

    def attention(t, at, kind, x):
        x = norm(x, t[at + "layer_norm.weight"], t[at + "layer_norm.bias"], eps)
        names = ("query_key", "value") if kind == "lsh" else ("query", "key", "value")
        parts = [heads(linear(x, t[f"{at}self_attention.{n}.weight"]), H) for n in names]
        each = [hashed(parts[0][h], parts[1][h], rotations, h, chunk, rounds, buckets) if kind == "lsh" else local(*(p[h] for p in parts), chunk) for h in range(H)]
        return linear([sum(rows, []) for rows in zip(*each)], t[at + "output.dense.weight"])

    def feed(t, at, x):
        x = norm(x, t[at + "layer_norm.weight"], t[at + "layer_norm.bias"], eps)
        return linear(mapped(linear(x, t[at + "dense.dense.weight"], t[at + "dense.dense.bias"]), gelu), t[at + "output.dense.weight"], t[at + "output.dense.bias"])

    def run(t, x):
        first = second = x
        for i, kind in enumerate(kinds):
            first = added(first, attention(t, f"layers.{i}.attention.", kind, second))
            second = added(second, feed(t, f"layers.{i}.feed_forward.", first))
        return norm([a + b for a, b in zip(first, second)], t["layer_norm.weight"], t["layer_norm.bias"], eps)

    constants = {"rotations": rotations} if "lsh" in kinds else {}
    save("reversible", name, lambda t: batch(lambda b, x: run(t, x), t["x"]), inputs, constants=constants, variant="reversible residual stack, layers " + "/".join(kinds),
         causal="false", B=B, N=N, E=E, H=H, F=F, chunk_length=chunk, num_hashes=rounds, num_buckets=buckets, activation="gelu", layer_norm_eps=eps)


# ---- plain parts, lucidrains' form ----

def sequence(name, depth, B=2, N=5, E=3, F=4):
    inputs = {"x": draw(B, N, 2 * E)}
    for i in range(depth):
        for part, shapes in (("f", ((E,), (E, E))), ("g", ((E,), (F, E), None, (E, F)))):
            for net, shape in enumerate(shapes):
                if shape:
                    inputs[f"blocks.{i}.{part}.net.{net}.weight"], inputs[f"blocks.{i}.{part}.net.{net}.bias"] = draw(*shape, scale=0.7), draw(shape[0], scale=0.3)

    def layer(t, at, x):
        return linear(x, t[at + ".weight"], t[at + ".bias"])

    def run(t, x):
        first, second = [row[:E] for row in x], [row[E:] for row in x]
        for i in range(depth):
            f, g = f"blocks.{i}.f.net.", f"blocks.{i}.g.net."
            y = norm(second, t[f + "0.weight"], t[f + "0.bias"], 1e-5)
            first = added(first, mapped(layer(t, f + "1", y), math.tanh))
            y = norm(first, t[g + "0.weight"], t[g + "0.bias"], 1e-5)
            second = added(second, layer(t, g + "3", mapped(layer(t, g + "1", y), gelu)))
        return [a + b for a, b in zip(first, second)]

    save("reversible", name, lambda t: batch(lambda b, x: run(t, x), t["x"]), inputs, B=B, N=N, E=E, F=F, layer_norm_eps="1e-5",
         variant=f"reversible sequence, f=LN-Linear-Tanh, g=LN-Linear-GELU(erf)-Linear, depth {depth}")


# ---- feed-forward in chunks ----

def feed_forward(name, B=2, N=7, E=4, F=6):
    inputs = {"x": draw(B, N, E), "ln_w": draw(E), "ln_b": draw(E, scale=0.3), "w1": draw(F, E), "b1": draw(F), "w2": draw(E, F), "b2": draw(E)}

    def run(t, x):
        return linear(mapped(linear(norm(x, t["ln_w"], t["ln_b"], 1e-12), t["w1"], t["b1"]), gelu), t["w2"], t["b2"])

    save("chunked_feed_forward", name, lambda t: batch(lambda b, x: run(t, x), t["x"]), inputs, E=E, F=F, activation="gelu", chunk_size=3, layer_norm_eps="1e-12")


if __name__ == "__main__":
    random.seed(71)
    stack("lsh_local", ("lsh", "local"))
    sequence("sequence", 3)
    feed_forward("chunks")
