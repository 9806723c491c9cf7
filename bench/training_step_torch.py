#!/usr/bin/env python3
"""The model of bench/training_step.c in PyTorch (Debian: python3-torch): the same sizes, pre-norm, GELU, AdamW, mean pooling.

Usage: training_step_torch.py [key=value ...] with keys n, batch, layers, width, heads, feed_forward, steps, threads, dropout, attention (softmax, or gru).
Prints one JSON object: milliseconds of the fastest step by the clock and of the processor, and the process's peak resident bytes above those before the model.
"""
import json
import resource
import sys
import time

import torch
from torch import nn


class Classifier(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.words = nn.Embedding(101, o["width"])
        self.positions = nn.Embedding(o["n"], o["width"])
        self.gru = nn.GRU(o["width"], o["width"], o["layers"], batch_first=True) if o["attention"] == "gru" else None
        layer = nn.TransformerEncoderLayer(o["width"], o["heads"], o["feed_forward"], o["dropout"], "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, o["layers"], nn.LayerNorm(o["width"]))
        self.head = nn.Linear(o["width"], 2)

    def forward(self, ids):
        if self.gru:
            return self.head(self.gru(self.words(ids))[1][-1])
        x = self.words(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.encoder(x).mean(1))


def main():
    o = dict(n=1024, batch=8, layers=2, width=128, heads=4, feed_forward=512, steps=5, threads=1, dropout=0.0, attention="softmax")
    for word in sys.argv[1:]:
        key, value = word.split("=")
        o[key] = type(o[key])(value)
    torch.set_num_threads(o["threads"])
    torch.manual_seed(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    model = Classifier(o)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    ids = torch.randint(0, 101, (o["batch"], o["n"]))
    labels = torch.arange(o["batch"]) % 2
    best = busy = float("inf")
    for step in range(o["steps"] + 1):
        begin, begin_busy = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(ids), labels)
        loss.backward()
        optimizer.step()
        if step:
            best = min(best, time.perf_counter() - begin)
            busy = min(busy, time.process_time() - begin_busy)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(dict(model="torch " + torch.__version__, attention=o["attention"], n=o["n"], batch=o["batch"], threads=o["threads"], dropout=o["dropout"],
                          ms=round(best * 1e3, 1), cpu_ms=round(busy * 1e3, 1), peak_bytes=peak - before, loss=loss.item())))


if __name__ == "__main__":
    main()
