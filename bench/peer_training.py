#!/usr/bin/env python3
"""One training step of the classifier: this build against the same model in PyTorch (Debian: python3-torch), in turns in one run.

Usage: bench/peer_training.py [--build BUILD] [--turns 3] [key=value ...]     (keys of training_step_torch.py; without dropout unless given)
A GRU: attention=gru n=512 batch=64 width=256 layers=1 threads=1.
Prints one JSON object: the least milliseconds of each side by the clock and of the processor, peak bytes, and the ratios.
OpenBLAS, which PyTorch multiplies with there, does not know every processor and then falls back to code of 2004; its kernels are
chosen for it here when the processor has AVX-512 or AVX2, so that the peer is what the machine can do (OPENBLAS_CORETYPE overrides).
"""
import argparse
import json
import os
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))


def blas_core():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
    return "SkylakeX" if "avx512vl" in flags else "Haswell" if "avx2" in flags else None


def measure(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"peer_training: {command[0]}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args()
    environment = dict(os.environ)
    if blas_core():
        environment.setdefault("OPENBLAS_CORETYPE", blas_core())
    threads = dict(word.split("=") for word in args.settings).get("threads", "1")
    environment.setdefault("OPENBLAS_NUM_THREADS", threads)     # it has a pool of its own, which torch.set_num_threads does not reach
    ours, theirs = [], []
    for _ in range(args.turns):
        theirs.append(measure(["/usr/bin/python3", os.path.join(here, "training_step_torch.py"), *args.settings], environment))
        ours.append(measure([os.path.join(args.build, "bench", "training-step"), *args.settings], environment))
    least = lambda runs, key: min(run[key] for run in runs)
    result = {f"{side}_{key}": least(runs, key) for side, runs in (("subquad", ours), ("torch", theirs)) for key in ("ms", "cpu_ms", "peak_bytes")}
    result["speed"] = round(result["torch_ms"] / result["subquad_ms"], 2)
    result["cpu_speed"] = round(result["torch_cpu_ms"] / result["subquad_cpu_ms"], 2)
    result["memory"] = round(result["subquad_peak_bytes"] / result["torch_peak_bytes"], 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
