#!/usr/bin/env python3
"""formula-{reformer_lsh,routing_kmeans,sinkhorn}-*.safetensors, as formulas_plain.py writes its files: python3 formulas_chosen.py

What is chosen (buckets, rows of clusters, blocks) is found once from the unmoved inputs, so that central differences see it as constant."""
import math
import random

from formulas_plain import Array, dot, draw, mix, save, softmax


def size(x):
    return math.sqrt(dot(x, x))


def argmax(x):
    return max(range(len(x)), key=lambda i: (x[i], -i))


# ---- Reformer, lucidrains' form ----

def reformer(name, entries=2, N=24, D=4, M=3, bucket=6, rounds=2):
    """Causal, duplicates corrected, hidden rows see themselves."""
    buckets = N // bucket
    inputs = {"qk": draw(entries, N, D), "v": draw(entries, N, D)}
    rotations = draw(1, D, rounds, buckets // 2)
    mask = Array([entries, N], [int(not (b == 1 and n % 5 == 3)) for b in range(entries) for n in range(N)])
    bucket_of, chunk_of, order = {}, {}, {}
    for b in range(entries):
        for t in range(rounds):
            for n in range(N):
                turned = [sum(inputs["qk"][b, n][d] * rotations[0, d, t, c] for d in range(D)) for c in range(buckets // 2)]
                bucket_of[b, t, n] = argmax(turned + [-x for x in turned]) + t * buckets
            order[b, t] = sorted(range(N), key=lambda n: (bucket_of[b, t, n], n))
            for place, n in enumerate(order[b, t]):
                chunk_of[b, t, n] = t * buckets + place // bucket
    total = rounds * buckets
    slots = {b: [n for t in range(rounds) for n in order[b, t]] for b in range(entries)}

    def row(t, b, n):
        if not mask[b, n]:
            return t["v"][b, n]
        q, scores, values = t["qk"][b, n], [], []
        for r in range(rounds):
            for chunk in (chunk_of[b, r, n], (chunk_of[b, r, n] - 1) % total):
                for m in slots[b][chunk * bucket:(chunk + 1) * bucket]:
                    if m > n or not mask[b, m]:
                        continue
                    k = t["qk"][b, m]
                    met = sum(chunk_of[b, s, n] == chunk_of[b, s, m] for s in range(rounds))
                    met += sum(chunk_of[b, s, n] == (chunk_of[b, s, m] + 1) % total for s in range(rounds))
                    score = -5e4 if m == n else dot(q, k) / size(k) / math.sqrt(D)
                    scores.append(score - math.log(met + 1e-9))
                    values.append(t["v"][b, m])
        return mix(softmax(scores), values)

    save("reformer_lsh", name, lambda t: Array([entries, N, D], [x for b in range(entries) for n in range(N) for x in row(t, b, n)]), inputs,
         masks={"mask": mask}, constants={"rotations": rotations, "buckets": Array([entries, rounds, N], [bucket_of[b, t, n] for b in range(entries)
                                          for t in range(rounds) for n in range(N)])},
         causal="true", bucket_size=bucket, n_buckets=buckets, n_hashes=rounds, random_rotations_per_head="False", attend_across_buckets="True",
         allow_duplicate_attention="False", f32_error="{}")


# ---- routing, lucidrains' form ----

def routing(name, H=2, N=14, D=4, clusters=3, window=6, memory=2, decay=0.9, commitment=0.01):
    inputs = {"q": draw(1, H, N, D), "k": draw(1, H, N, D), "v": draw(1, H, N, D), "mem_k": draw(H, clusters, memory, D), "mem_v": draw(H, clusters, memory, D)}
    means = draw(H, clusters, D)
    took, sums, off = {}, {}, 0
    for side in "qk":
        for h in range(H):
            rows = [[x / size(inputs[side][0, h, n]) for x in inputs[side][0, h, n]] for n in range(N)]
            scores = [[dot(x, means[h, c]) for x in rows] for c in range(clusters)]
            for c in range(clusters):
                took[side, h, c] = sorted(sorted(range(N), key=lambda n: -scores[c][n])[:window])
            for n in range(N):
                c = argmax([scores[c][n] for c in range(clusters)])
                sums[h, c] = [a + b for a, b in zip(sums.get((h, c), [0] * D), rows[n])]
                off += sum((a - b) ** 2 for a, b in zip(rows[n], means[h, c]))
    new = [x for h in range(H) for c in range(clusters) for x in ([s / size(sums[h, c]) for s in sums[h, c]] if (h, c) in sums else means[h, c])]

    def row(t, h, n):
        clusters_of = [c for c in range(clusters) if n in took["q", h, c]]
        out = [0] * D
        for c in clusters_of:
            keys = [(t["mem_k"][h, c, i], t["mem_v"][h, c, i]) for i in range(memory)]
            keys += [(t["k"][0, h, m], t["v"][0, h, m]) for m in took["k", h, c] if m <= n]
            weights = softmax([dot(t["q"][0, h, n], k) / math.sqrt(D) for k, _ in keys])
            out = [a + b / (len(clusters_of) + 1e-5) for a, b in zip(out, mix(weights, [v for _, v in keys]))]
        return out

    save("routing_kmeans", name, lambda t: Array([1, H, N, D], [x for h in range(H) for n in range(N) for x in row(t, h, n)]), inputs, constants={
        "means": means, "means_new": Array([H, clusters, D], new), "aux_loss": Array([1], [commitment * off / (2 * H * N * D)]),
        "means_after_ema": Array([H, clusters, D], [decay * a + (1 - decay) * b for a, b in zip(means.values, new)]),
        **{f"{side}_indices": Array([1, H, clusters, window], [n for h in range(H) for c in range(clusters) for n in took[side, h, c]]) for side in "qk"}},
        causal="true", num_clusters=clusters, window_size=window, num_mem_kv=memory, ema_decay=decay, commitment=commitment, f32_error="{}")


# ---- sinkhorn: picked blocks ----

def sinkhorn(name, B=2, H=1, N=20, D=4, bucket=5, picks=2, corrected=True):
    blocks = N // bucket
    inputs = {n: draw(B, H, N, D) for n in "qkv"}

    def scores(t, b, h, u):
        def mean(rows, block):
            return [sum(rows[b, h, n][d] for n in range(block * bucket, (block + 1) * bucket)) / bucket for d in range(D)]
        return [dot(mean(t["q"], u), mean(t["k"], v)) / math.sqrt(D) for v in range(blocks)]

    chosen = {}
    for b in range(B):
        for h in range(H):
            for u in range(blocks):
                r = scores(inputs, b, h, u)
                chosen[b, h, u] = sorted(range(blocks), key=lambda v: -r[v])[:picks]

    def weights(t, b, h, u):
        left, r, result = list(range(blocks)), scores(t, b, h, u), []
        for v in chosen[b, h, u]:
            result.append(math.exp(r[v]) / sum(math.exp(r[w]) for w in left))
            left.remove(v)
        return result

    def row(t, b, h, n):
        u, keys, values = n // bucket, [], []
        for v, w in zip(chosen[b, h, u], weights(t, b, h, u)):
            for m in range(v * bucket, (v + 1) * bucket):
                keys.append([w * x for x in t["k"][b, h, m]])
                values.append([w * x for x in t["v" if corrected else "k"][b, h, m]])
        for m in range(u * bucket, (u + 1) * bucket):
            keys.append(t["k"][b, h, m])
            values.append(t["v"][b, h, m])
        return mix(softmax([dot(t["q"][b, h, n], k) / math.sqrt(D) for k in keys]), values)

    matrix = []
    for b in range(B):
        for h in range(H):
            for u in range(blocks):
                for v, w in zip(chosen[b, h, u], weights(inputs, b, h, u)):
                    matrix += [w if c == v else 0.0 for c in range(blocks)]
    save("sinkhorn", name, lambda t: Array([B, H, N, D], [x for b in range(B) for h in range(H) for n in range(N) for x in row(t, b, h, n)]), inputs,
         constants={"sort_matrix": Array([B * H, blocks * picks, blocks], matrix)}, causal="false", bucket_size=bucket,
         options='{"n_top_buckets": %d, "non_permutative": true}' % picks, corrected_copy="true" if corrected else "false", f32_error="{}")


if __name__ == "__main__":
    random.seed(5)
    reformer("lucidrains_mask")
    routing("routing_small")
    sinkhorn("sinkhorn_topk")
    sinkhorn("sinkhorn_topk_asis", corrected=False)
