#!/usr/bin/env python3
"""Writes further formula-*.safetensors, small ones of mechanisms that make discrete choices.

Outputs in float64 from the formulas written out below, gradients by central differences of them (about 1e-9 exact; the choices do not
change over so small a step), from inputs that are exact in float32. Needs nothing but Python: python3 formulas_choices.py
"""
import array
import json
import math
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
random.seed(11)


def rounded(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def draw(*shape):
    if len(shape) == 1:
        return [rounded(random.gauss(0, 1)) for _ in range(shape[0])]
    return [draw(*shape[1:]) for _ in range(shape[0])]


def flat(x):
    return [value for row in x for value in flat(row)] if isinstance(x, list) else [x]


def shape_of(x):
    return [len(x)] + shape_of(x[0]) if isinstance(x, list) else []


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def save(mechanism, name, tensors, **metadata):
    """tensors: name -> nested lists, or (type code, nested lists) for whole numbers: "i" I32, "q" I64."""
    header, blobs, end = {"__metadata__": {"mechanism": mechanism, "variant": name, "source": "float64, tests/golden/formulas_choices.py"}}, [], 0
    header["__metadata__"].update({key: str(value) for key, value in metadata.items()})
    for key, tensor in tensors.items():
        code, values = tensor if isinstance(tensor, tuple) else ("f", tensor)
        blob = array.array(code, flat(values)).tobytes()
        header[key] = {"dtype": {"f": "F32", "i": "I32", "q": "I64"}[code], "shape": shape_of(values), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    case = metadata.get("case", name)
    with open(os.path.join(HERE, f"formula-{mechanism}-{case}.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def differences(function, inputs, g, step=1e-5):
    """d<input> of sum(out * g) for every input."""
    gradients = {}
    for name in inputs:

        def walk(x):
            if isinstance(x[0], list):
                return [walk(y) for y in x]
            found = []
            for i, kept in enumerate(x):
                sides = []
                for sign in (1, -1):
                    x[i] = kept + sign * step
                    sides.append(dot(flat(function(**inputs)), flat(g)))
                x[i] = kept
                found.append((sides[0] - sides[1]) / (2 * step))
            return found

        gradients["d" + name] = walk(inputs[name])
    return gradients


def softmax(scores):
    top = max(scores)
    e = [math.exp(s - top) for s in scores]
    return [x / sum(e) for x in e]


def mix(p, v):
    return [sum(p[j] * v[j][m] for j in range(len(v))) for m in range(len(v[0]))]


def scores_of(x, k):
    return [dot(x, row) * len(x) ** -0.5 for row in k]


# ---- clustered: hash, Lloyd's iterations, centroids ----

def hashes_of(q, planes):
    return [sum((dot(x, p[:-1]) > p[-1]) << b for b, p in enumerate(planes)) for x in q]


def clusters_of(codes, first, bits, iterations):
    centroids = [codes[i] for i in first]
    for left in range(iterations, 0, -1):
        cluster = [min(range(len(centroids)), key=lambda c: (bin(x ^ centroids[c]).count("1"), c)) for x in codes]
        for c in range(len(centroids)) if left > 1 else []:
            members = [x for x, own in zip(codes, cluster) if own == c]
            if members:
                centroids[c] = sum((2 * sum(x >> b & 1 for x in members) > len(members)) << b for b in range(bits))
    return cluster


def centroids_of(q, cluster, count):
    members = [[x for x, own in zip(q, cluster) if own == c] for c in range(count)]
    return [[sum(column) / len(rows) for column in zip(*rows)] for rows in members]


def clustered(name, case, T, N, D, M, C, bits, iterations, topk=0):
    causal, improved = name == "improved_causal", name != "clustered"
    while True:   # until no cluster is empty
        q, k, v, planes = draw(1, 1, T, D), draw(1, 1, N, D), draw(1, 1, N, M), draw(bits, D + 1)
        first = random.sample(range(T), C)
        codes = hashes_of(q[0][0], planes)
        cluster = clusters_of(codes, first, bits, iterations)
        if len(set(cluster)) == C:
            break
    weights = [softmax(scores_of(x, k[0][0])) for x in centroids_of(q[0][0], cluster, C)]
    top = [sorted(sorted(range(N), key=lambda j: -p[j])[:topk]) for p in weights]
    share = [sum(p[j] for j in chosen) for p, chosen in zip(weights, top)]

    def function(q, k, v, constant=True):
        q, k, v = q[0][0], k[0][0], v[0][0]
        A = [softmax(scores_of(x, k)) for x in centroids_of(q, cluster, C)]
        out = []
        for i, c in enumerate(cluster):
            keys = [j for j in top[c] if not causal or j <= i]
            if not improved:
                out.append(mix(A[c], v))
                continue
            own = softmax(scores_of(q[i], [k[j] for j in keys])) if keys else []
            factor = 1 if causal else share[c] if constant else sum(A[c][j] for j in top[c])
            p = [0 if causal or j in top[c] else A[c][j] for j in range(N)]
            for j, weight in zip(keys, own):
                p[j] += factor * weight
            out.append(mix(p, v))
        return [[out]]

    inputs, g = {"q": q, "k": k, "v": v}, draw(1, 1, T, M)
    tensors = {**inputs, "planes": planes, "init_idx": ("q", first), "hashes": ("q", [[codes]]), "clusters": ("i", [[cluster]]),
               "counts": ("i", [[[cluster.count(c) for c in range(C)]]]), "g": g, "out": function(**inputs), **differences(function, inputs, g)}
    more = {}
    if improved:
        tensors["topk"] = ("i", [[top]])
        more["topk"] = topk
    if name == "improved":
        full = differences(lambda **x: function(**x, constant=False), inputs, g)
        tensors.update({"dq_full": full["dq"], "dk_full": full["dk"]})
    save("improved_clustered" if improved else "clustered", name, tensors, case=case, clusters=C, iterations=iterations, bits=bits, hash_bias=True,
         scale="1/sqrt(D) inside the softmax", causal=causal, query_lengths="null", key_lengths="null", **more)


# ---- informer: the measure, exact rows for the queries of the largest ----

def informer(name, T, N, D, M, factor, causal):
    U, u = (min(factor * math.ceil(math.log(n)), n) for n in (N, T))
    q, k, v = draw(1, 1, T, D), draw(1, 1, N, D), draw(1, 1, N, M)
    sample = [[random.randrange(N) for _ in range(U)] for _ in range(T)]
    scores = [[dot(x, k[0][0][j]) for j in row] for x, row in zip(q[0][0], sample)]
    measure = [max(row) - sum(row) / N for row in scores]
    chosen = sorted(sorted(range(T), key=lambda i: -measure[i])[:u])

    def function(q, k, v):
        q, k, v = q[0][0], k[0][0], v[0][0]
        out = []
        for i, x in enumerate(q):
            seen = i + 1 if causal else N
            if i in chosen:
                out.append(mix(softmax(scores_of(x, k[:seen])), v[:seen]))
            else:
                out.append([sum(column) / (1 if causal else N) for column in zip(*v[:seen])])
        return [[out]]

    inputs, g = {"q": q, "k": k, "v": v}, draw(1, 1, T, M)
    save("informer", name, {**inputs, "index_sample": ("i", sample), "g": g, "out": function(**inputs), **differences(function, inputs, g),
                            "M": [[measure]], "top_index_sorted": ("i", [[chosen]])}, factor=factor, causal=int(causal), scale="1/sqrt(D)")


if __name__ == "__main__":
    clustered("clustered", "cross_n22", 19, 22, 6, 5, 3, 20, 4)
    clustered("improved", "improved_n24", 24, 24, 6, 5, 3, 20, 4, 5)
    clustered("improved_causal", "improved_causal_n20", 20, 20, 6, 5, 3, 20, 4, 7)
    informer("masked_n26", 26, 26, 6, 5, 2, True)
    informer("unmasked_cross_nq20_nk31", 20, 31, 6, 5, 2, False)
