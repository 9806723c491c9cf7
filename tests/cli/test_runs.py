"""train, predict and compare, from sample clients to predictions; killed, stopped, resumed."""
import csv
import glob
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import time

from cli import PROGRAM, SMALL, Case, main, read

class Train(Case):
    def train(self, task, folder, *more, **options):
        return self.run_program("train", task, "--attention", "performer", "--features", 16, "--out", folder, *SMALL, *more, **options)

    def start(self, task, folder, *more):
        words = ["train", task, "--attention", "performer", "--features", 16, "--out", folder, *SMALL, *more]
        return subprocess.Popen([PROGRAM, *map(str, words)], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_train_and_predict(self):
        task = self.clients()
        out, err = self.train(task, "run")
        for word in ("test", "accuracy", "AUC", "parameters", "clients/s", "peak memory", "folder"):
            self.assertIn(word, out)
        self.assertIn("performer, seed 1, training epoch 1/2", err)
        for name in ("config.yaml", "schema.json", "model.safetensors", "metrics.csv", "result.json"):
            self.assertTrue(os.path.exists(self.path("run", name)), name)
        self.assertTrue(glob.glob(self.path("run", "events.out.tfevents.*")))
        _, err = self.run_program("predict", "run", os.path.join("clients", "transactions.csv"), "-o", "p.csv")
        self.assertIn("120 clients: p.csv", err)
        with open(self.path("p.csv")) as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 120)
        self.assertEqual(len(rows[0]), 3)
        for row in rows:
            probabilities = [float(value) for key, value in list(row.items())[1:]]
            self.assertAlmostEqual(sum(probabilities), 1, places=5)
            self.assertTrue(all(0 <= p <= 1 for p in probabilities))
        with open(self.path("clients", "gender.csv")) as file:
            ids = {row["customer_id"] for row in csv.DictReader(file)}
        self.assertEqual({next(iter(row.values())) for row in rows}, ids)

    def test_same_bits_on_one_and_two_threads(self):
        task = self.clients(clients=60)
        self.train(task, "one", "--threads", 1)
        self.train(task, "two", "--threads", 2)
        self.assertEqual(read(self.path("one", "model.safetensors")), read(self.path("two", "model.safetensors")))
        self.train(task, "other", "--seed", 2)
        self.assertNotEqual(read(self.path("one", "model.safetensors")), read(self.path("other", "model.safetensors")))

    def test_killed_and_resumed(self):
        task = self.clients()
        often = ["--set", "train.epochs=6", "--set", "train.checkpoint_steps=1"]
        self.train(task, "whole", *often)
        run = self.start(task, "killed", *often)
        deadline = time.time() + 120
        while not glob.glob(self.path("killed", "checkpoint", "*")) and time.time() < deadline and run.poll() is None:
            time.sleep(0.01)
        time.sleep(0.1)
        self.assertIsNone(run.poll(), "finished before it could be killed")
        run.kill()
        run.communicate()
        self.refused("train", task, "--attention", "performer", "--features", 16, "--out", "killed", *SMALL, *often, "--quiet", says="killed")
        self.train(task, "killed", *often, "--resume")
        self.assertEqual(read(self.path("whole", "model.safetensors")), read(self.path("killed", "model.safetensors")))

    def test_stopped_by_a_signal(self):
        task = self.clients()
        long = ["--set", "train.epochs=200"]
        for number in (signal.SIGINT, signal.SIGTERM):
            run = self.start(task, f"stopped-{number}", *long)
            deadline = time.time() + 120
            while not os.path.exists(self.path(f"stopped-{number}", "config.yaml")) and time.time() < deadline and run.poll() is None:
                time.sleep(0.01)
            time.sleep(0.2)
            run.send_signal(number)
            out, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 130, err)
            self.assertEqual(out, b"")
            self.assertIn(b"stopping at the next step", err)
            self.assertIn(f"--out stopped-{number} --resume goes on from here".encode(), err)

    def test_progress_on_a_terminal_is_one_line(self):
        task = self.clients(clients=40)
        master, slave = pty.openpty()
        words = [PROGRAM, "train", task, "--attention", "linformer", "--rank", "8", "--out", "run", *SMALL]
        run = subprocess.Popen(words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env=dict(os.environ, TERM="xterm"))
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:   # the other side is closed
                break
            if not part:
                break
            shown += part
        out, _ = run.communicate(timeout=60)
        os.close(master)
        self.assertEqual(run.returncode, 0)
        self.assertIn(b"test ", out)
        self.assertNotIn(b"\n", shown)
        self.assertIn(b"\r\033[Klinformer, seed 1, training epoch 1/2", shown)
        self.assertTrue(shown.endswith(b"\r\033[K"), shown[-80:])
        self.assertLess(max(len(line) for line in shown.split(b"\r\033[K")), 80)


class Compare(Case):
    def test_compare(self):
        task = self.clients(clients=80)
        words = ["compare", task, "--seeds", 2, "--only", "softmax,linformer,logistic", "--out", "all", "--rank", 8, *SMALL, "--set", "compare.lengths=64,128,256"]
        out, err = self.run_program(*words)
        lines = out.splitlines()
        tables = [line for line in lines if re.match(r"(softmax|linformer|logistic) +([\d-]|n\^)|test split|cost |growth |---", line)]
        self.assertEqual(len(tables), 2 * (3 + 1 + 2) + (2 + 1 + 1))
        self.assertLessEqual(max(map(len, tables)), 80)
        self.assertRegex(out, r"(?m)^linformer +\d\.\d{3}±\d\.\d{3}")
        self.assertRegex(out, r"(?m)^report: all/report.html$")
        self.assertNotIn("\033", out)
        for name in ("report.html", "results.csv", "results.json", "runs.db"):
            self.assertGreater(os.path.getsize(self.path("all", name)), 0, name)
        with open(self.path("all", "results.json")) as file:
            json.load(file)
        with sqlite3.connect(self.path("all", "runs.db")) as store:
            self.assertTrue(store.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0] > 0)
        with open(self.path("all", "results.csv")) as file:
            self.assertGreaterEqual(len(list(csv.reader(file))), 4)
        self.refused(*words, "--quiet", says="all")
        again, _ = self.run_program(*words, "--resume")
        self.assertEqual(again.split("\n\n")[0], out.split("\n\n")[0])

    def test_refusals(self):
        task = self.clients(clients=40)
        self.refused("compare", task, "--quiet", "--only", "softmax,perfomer", says="did you mean 'performer'?")
        self.refused("compare", task, "--only", "softmax", "--rank", 4, says="none of the chosen models has an option 'rank'")
        self.refused("compare", task, "--set", "compare.sedes=2", says="seeds")


if __name__ == "__main__":
    main()
