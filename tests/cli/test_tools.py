"""bench, verify, data clients, show, analyze, approximate."""
import csv
import io
import json
import os
import shutil
import subprocess
import unittest

from cli import GOLDEN, PROGRAM, SMALL, Case, main, read

KEYS = ["mechanism", "n", "heads", "dim", "batch", "threads", "dtype", "pass", "causal", "ms", "gflops", "roofline", "workspace_bytes", "peak_bytes"]
NAMES = ["softmax", "linformer", "performer", "infinite-former"]


class Bench(Case):
    def test_models(self):
        out, _ = self.run_program("bench", "model", "--model", "gru,softmax", "--n", "16,40", "--batch", 2, "--width", 16, "--heads", 2, "--runs", 1, "--format", "jsonl")
        cases = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(c["model"], c["n"], c["pass"]) for c in cases], [("gru", 16, "backward"), ("gru", 40, "backward"), ("softmax", 16, "backward"), ("softmax", 40, "backward")])
        self.assertTrue(all(c["ms"] > 0 and c["peak_bytes"] > 0 for c in cases))
        out, _ = self.run_program("bench", "model", "--n", 24, "--batch", 2, "--width", 16, "--heads", 2, "--pass", "step", "--format", "csv")
        self.assertIn("gru,24,2,2,16,2,1,step,0,", out)
        self.assertIn("us per event", self.run_program("bench", "model", "--model", "gru", "--n", 8, "--batch", 1, "--pass", "step")[0])
        self.refused("bench", "model", "--model", "softmax", "--n", 8, "--pass", "step", says="softmax has no state to go on from")
        self.refused("bench", "model", "--model", "grv", says="unknown mechanism or model 'grv'; did you mean 'gru'?")

    def bench(self, *more):
        return self.run_program("bench", "attention", "--heads", 2, "--dim", 16, "--runs", 1, *more)

    def test_jsonl(self):
        out, _ = self.bench("--attention", "softmax,performer", "--n", "64,100", "--features", 32, "--format", "jsonl")
        cases = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(c["mechanism"], c["n"]) for c in cases], [("softmax", 64), ("softmax", 100), ("performer", 64), ("performer", 100)])
        for case in cases:
            self.assertEqual(list(case), KEYS)
            self.assertEqual((case["heads"], case["dim"], case["batch"], case["threads"], case["dtype"], case["pass"], case["causal"]),
                             (2, 16, 1, 1, "f32", "forward", False))
            self.assertGreater(case["ms"], 0)
            self.assertGreater(case["gflops"], 0)
            self.assertGreater(case["roofline"], 0)
            self.assertGreater(case["peak_bytes"], case["workspace_bytes"])

    def test_all_options_of_the_fixed_interface(self):
        out, _ = self.run_program("bench", "attention", "--attention", "softmax", "--n", "64", "--heads", 8, "--dim", 64, "--batch", 1, "--threads", 1,
                                  "--dtype", "f32", "--pass", "backward", "--format", "jsonl")
        self.assertEqual(json.loads(out)["pass"], "backward")

    def test_csv_and_causal(self):
        out, err = self.bench("--attention", "all", "--n", 64, "--causal", "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual(list(rows[0]), KEYS)
        names = [r["mechanism"] for r in rows]
        self.assertLessEqual({"softmax", "performer", "infinite-former"}, set(names))
        self.assertNotIn("linformer", names)
        self.assertIn("left out: linformer", err)
        self.refused("bench", "attention", "--attention", "linformer", "--n", 64, "--causal", says="linformer")

    def test_table_with_exponents(self):
        out, _ = self.bench("--attention", "all", "--n", "64..256")
        lines = out.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual([line.split()[1] for line in lines if line.startswith("linformer")][:3], ["64", "128", "256"])
        for name in NAMES:
            self.assertRegex(out, rf"(?m)^{name} +time n\^-?\d+\.\d\d, memory n\^-?\d+\.\d\d$")


class Verify(Case):
    def golden(self, start):
        return sorted(os.path.join(GOLDEN, name) for name in os.listdir(GOLDEN) if name.startswith(start) and name.endswith(".safetensors"))

    def test_all_pass(self):
        files = self.golden("")
        out, _ = self.run_program("verify", *files)
        self.assertEqual(out.splitlines()[-1], f"{len(files)} passed, 0 failed, 0 skipped")
        self.assertEqual(len(out.splitlines()), len(files) + 1)
        self.assertTrue(all(line.startswith("passed  ") for line in out.splitlines()[:-1]))

    def test_tensors(self):
        out, _ = self.run_program("verify", "-v", *self.golden("norm-layernorm"))
        for name in ("out", "grad.x", "grad.weight", "grad.bias"):
            self.assertRegex(out, rf"(?m)^ +{name} +error +\S+ +tolerance +\S+ +largest +\S+$")

    def test_failures_and_skips(self):
        good = self.golden("norm-groupnorm")[0]
        with open(good, "rb") as file:
            content = file.read()
        at = content.index(b'"grad.x"')
        begin = int(content[at:].split(b'"data_offsets"')[1].split(b"[")[1].split(b",")[0]) + 8 + int.from_bytes(content[:8], "little")
        wrong = bytearray(content)
        wrong[begin + 3] ^= 0x80   # the sign of the first number
        with open(self.path("wrong.safetensors"), "wb") as file:
            file.write(wrong)
        with open(self.path("other.safetensors"), "wb") as file:
            file.write(content.replace(b'"mechanism": "norm"', b'"mechanism": "nork"'))
        out, _ = self.run_program("verify", good, "wrong.safetensors", "other.safetensors", status=1)
        lines = out.splitlines()
        self.assertTrue(lines[0].startswith("passed  "))
        self.assertTrue(lines[1].startswith("FAILED  wrong.safetensors: 1 of 4 tensors beyond their tolerance; the first is grad.x"), lines[1])
        self.assertTrue(lines[2].startswith("skipped other.safetensors: mechanism 'nork' is unknown to this build; did you mean 'norm'?"), lines[2])
        self.assertEqual(lines[3], "1 passed, 1 failed, 1 skipped")
        with open(self.path("cut.safetensors"), "wb") as file:
            file.write(content[:100])
        out, _ = self.run_program("verify", "cut.safetensors", "absent.safetensors", status=2)
        self.assertEqual(out.splitlines()[-1], "0 passed, 2 failed, 0 skipped")


class Data(Case):
    def test_clients(self):
        out, _ = self.run_program("data", "clients", "--out", "some", "--clients", 50, "--seed", 5)
        self.assertRegex(out, r"^50 clients with \d+ events; the best that can be reached: accuracy 0\.\d{4}, AUC 0\.\d{4}\nnext: subquad compare some/task.yaml\n$")
        self.assertEqual(sorted(os.listdir(self.path("some"))), ["README.md", "gender.csv", "task.yaml", "transactions.csv"])
        with open(self.path("some", "transactions.csv")) as file:
            self.assertEqual(file.readline(), "customer_id,tr_datetime,mcc_code,tr_type,amount,term_id\n")
            first = file.readline()
        with open(self.path("some", "gender.csv")) as file:
            labels = file.read().splitlines()
        self.assertEqual(labels[0], "customer_id,gender")
        self.assertEqual(len(labels), 51)
        self.run_program("data", "clients", "--out", "some", "--clients", 50, "--seed", 5)   # its own files may be written again
        with open(self.path("some", "transactions.csv")) as file:
            file.readline()
            self.assertEqual(file.readline(), first)
        with open(self.path("some", "README.md")) as file:
            self.assertIn("Bayes accuracy", file.read())

    def test_refusals(self):
        self.refused("data", "clients", "--out", "x", "--mode", "long_rang", says="did you mean 'long-range'?")
        self.refused("data", "clients", "--out", "x", "--mode", "long-range", "--max-events", 900, says="1100")
        self.refused("data", "clients", "--out", "x", "--noise", 0.9, says="noise")
        self.refused("data", "clients", "--out", "x", "--clients", 0, says="--clients 0; expected 2 or more")
        self.assertFalse(os.path.exists(self.path("x")))
        os.mkdir(self.path("x"))
        with open(self.path("x", "task.yaml"), "w") as file:
            file.write("mine\n")
        self.refused("data", "clients", "--out", "x", says="task.yaml: exists and was not written by this command")
        shutil.rmtree(self.path("x"))
        self.refused("data", "clients", "--out", "/proc/nowhere", says="/proc/nowhere")


class Show(Case):
    def test_characters(self):
        out, _ = self.run_program("show", "softmax", "--n", 12, "--causal")
        rows = out.splitlines()
        self.assertEqual(rows[0], "head 0: 54% of pairs")
        self.assertEqual(len(rows), 13)
        for i, row in enumerate(rows[1:]):
            self.assertEqual(len(row), 12)
            self.assertEqual(row[i + 1:].strip(), "", "nothing of the future")
            self.assertNotEqual(row[:i + 1].strip(), "")

    def test_every_mechanism(self):
        for row in self.run_program("list")[0].split("\n\n")[0].splitlines()[2:]:
            arguments = ["show", row.split()[0], "--n", 16, "--heads", 2, "--dim", 8]
            done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if done.returncode == 2:   # a rule of its own, such as a grid that must have n places
                self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
                continue
            self.assertEqual(done.returncode, 0, (arguments, done.stderr))
            self.assertEqual(done.stdout.decode().count("\n"), 35, arguments)

    def test_layers_and_refusals(self):
        out, _ = self.run_program("show", "softmax", "--n", 8, "--layers", 2)
        self.assertIn("after layer 2: 100.0% of pairs", out)
        self.refused("show", "sotfmax", says="did you mean 'softmax'")
        self.refused("show", "softmax", "--global-tokens", "1", says="cannot do 'global'")
        self.refused("show", "linformer", "--causal", says="cannot do 'causal'")
        self.refused("show", "softmax", "--global-tokens", "64", says="expected numbers from 0 to 63")
        self.refused("show", "softmax", "-o", "x.gif", says=".svg or .png")

    @unittest.skipUnless(shutil.which("gnuplot"), "no gnuplot")
    def test_pictures(self):
        self.run_program("show", "performer", "--heads", 5, "-o", "p.svg")
        self.assertIn(b"</svg>", read(self.path("p.svg")))
        self.run_program("show", "softmax", "--layers", 3, "-o", "q.png")
        self.assertEqual(read(self.path("q.png"))[:8], b"\x89PNG\r\n\x1a\n")


class Analyze(Case):
    def test_run_and_approximate(self):
        task = self.clients()
        self.run_program("train", task, "--attention", "softmax", "--out", "run", *SMALL, "-q")
        out, _ = self.run_program("analyze", "run", "--save", "qkv.safetensors", "--sequences", 3)
        again, _ = self.run_program("analyze", "qkv.safetensors")
        self.assertEqual(out, again, "the file holds what the run showed")
        self.assertEqual(len(out.splitlines()), 2 + 2 * 2)
        self.assertIn("layer.1, head 1", out)
        out, _ = self.run_program("approximate", "qkv.safetensors", "--sequences", 1)
        rows = {line.split()[0]: float(line.split()[-1]) for line in out.split("\n\n")[0].splitlines()[2:]}
        self.assertEqual(rows["softmax"], 0)
        self.assertGreater(rows["performer"], 0)

    def test_single_events(self):
        """Pooling by attention over one event looks like a layer: it must not be taken for one."""
        task = self.clients()
        with open(self.path("clients", "transactions.csv")) as file:
            lines = file.read().splitlines()
        for longest, says in (4, None), (1, "two events"):
            seen, kept = {}, lines[:1]
            for line in lines[1:]:
                client = line.split(",")[0]
                seen[client] = seen.get(client, 0) + 1
                if seen[client] <= (1 if int(client) % 5 else longest):
                    kept.append(line)
            with open(self.path("clients", "transactions.csv"), "w") as file:
                file.write("\n".join(kept) + "\n")
            run = f"run{longest}"
            self.run_program("train", task, "--attention", "softmax", "--out", run, *SMALL, "--set", "model.pooling=attention", "--set", "train.batch=1", "-q")
            if says:
                self.refused("analyze", run, says=says)
                continue
            out, _ = self.run_program("analyze", run, "--save", "qkv.safetensors", "--sequences", 0)
            self.assertEqual([line.split()[3] for line in out.splitlines()[2:]], ["4"] * 4)

    def test_refusals(self):
        self.refused("analyze", "nothing", says="expected the folder of a training run")
        self.refused("approximate", os.path.join(GOLDEN, "loss-smooth_l1_beta05.safetensors"), says="no tensors q, k, v")
        self.refused("approximate", "x.safetensors", "--to", "sotfmax", says="did you mean 'softmax'")


if __name__ == "__main__":
    main()
