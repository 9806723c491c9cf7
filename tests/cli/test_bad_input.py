"""Wrong tables, wrong task files, wrong run folders, full disks: one line that says where, status 2, nothing half-written."""
import bz2
import glob
import gzip
import lzma
import os
import resource
import shutil
import subprocess

from cli import PROGRAM, SMALL, Case, main, read

QUIET = ["--quiet", *SMALL]


class BadInput(Case):
    def setUp(self):
        super().setUp()
        self.task = self.clients(clients=40)
        self.tables = {name: read(self.path("clients", name)) for name in ("task.yaml", "transactions.csv", "gender.csv")}

    def put(self, name, content):
        with open(self.path("clients", name), "wb") as file:
            file.write(content)

    def changed(self, name, old, new, count=-1):
        self.assertIn(old, self.tables[name])
        self.put(name, self.tables[name].replace(old, new, count))

    def cell(self, line, column, content):
        """transactions.csv with one cell changed (both counted from 1)."""
        lines = self.tables["transactions.csv"].splitlines(keepends=True)
        cells = lines[line - 1].split(b",")
        cells[column - 1] = content
        lines[line - 1] = b",".join(cells)
        self.put("transactions.csv", b"".join(lines))

    def no_training(self, says, *more):
        """train and compare both refuse, and leave no run behind; then the tables are whole again."""
        self.refused("train", self.task, "--attention", "softmax", "--out", "run", *QUIET, *more, says=says)
        self.refused("compare", self.task, "--only", "softmax", "--out", "all", *QUIET, *more, says=says)
        self.assertEqual(sorted(os.listdir(self.folder)), ["clients"])
        for name, content in self.tables.items():
            self.put(name, content)

    def test_files(self):
        self.refused("train", "absent.yaml", "--attention", "softmax", "--out", "run", says="absent.yaml: cannot open: No such file or directory")
        self.changed("task.yaml", b"transactions.csv", b"absent.csv")
        self.no_training("absent.csv: cannot be read: No such file or directory")
        self.put("transactions.csv", b"")
        self.no_training("transactions.csv: is empty; expected a line with the columns' names")
        for ending, packed in ((b"xz", lzma.compress), (b"gz", gzip.compress), (b"bz2", bz2.compress)):
            whole = packed(self.tables["transactions.csv"])
            self.put("cut.csv." + ending.decode(), whole[:len(whole) // 2])
            self.changed("task.yaml", b"transactions.csv", b"cut.csv." + ending)
            self.no_training(f"cut.csv.{ending.decode()}: truncated or damaged")

    def test_columns(self):
        self.changed("task.yaml", b"mcc_code", b"mc_code")
        self.no_training("transactions.csv:1:1: no column 'mc_code' among 6; did you mean 'mcc_code'?")
        self.changed("task.yaml", b"column: gender", b"column: gendre")
        self.no_training("gender.csv:1:1: no column 'gendre' among 2; did you mean 'gender'?")
        self.changed("task.yaml", b"id: customer_id", b"id: costumer_id")
        self.no_training("no column 'costumer_id' among 2; did you mean 'customer_id'?")

    def test_keys(self):
        for old, new, says in ((b"  epochs:", b"  epoch:", "train has no option 'epoch'; did you mean 'epochs'?"),
                               (b"  max_length:", b"  max_lenght:", "unknown key 'max_lenght'; did you mean 'max_length'?"),
                               (b"gap: true", b"gaps: true", "unknown key 'gaps'; did you mean 'gap'?"),
                               (b"train:", b"trian:", "unknown key 'trian'; did you mean 'train'?"),
                               (b"{rank: 64}", b"{ranks: 64}", "'ranks'; did you mean 'rank'?"),
                               (b"{rank: 64}", b"{rank: many}", "many")):
            lines = self.tables["task.yaml"].splitlines()
            line = next(i for i, text in enumerate(lines) if old in text)
            column = lines[line].index(old) + len(old) - len(old.lstrip(b" {"))
            self.changed("task.yaml", old, new, 1)
            self.no_training(says)
            self.changed("task.yaml", old, new, 1)
            self.no_training(f"task.yaml:{line + 1}:{column + 1 + (new.find(b'many') - 1 if b'many' in new else 0)}: ")
        self.put("task.yaml", b"data: [")
        self.no_training("task.yaml:")
        self.put("task.yaml", b"")
        self.no_training("task.yaml:1:1: the file is empty")
        self.no_training("train has no option 'epoch'; did you mean 'epochs'?", "--set", "train.epoch=3")
        self.no_training("epochs", "--set", "train.epochs=none")
        self.no_training("none of the chosen models has an option 'rank'", "--rank", 3)

    def test_cells(self):
        rows = sum(self.tables[name].count(b"\n") - 1 for name in ("transactions.csv", "gender.csv"))
        broken = f"; 1 of {rows} rows are broken ('on_broken_row: skip' leaves them out)"
        line = self.tables["transactions.csv"].splitlines()[4]
        at = [0] + [i + 1 for i, c in enumerate(line) if c == ord(",")]   # where each cell begins
        for column, content, says in ((5, b"NaN", f"5:{at[4] + 1}: amount is 'NaN'; expected a number"),
                                      (5, b"-inf", f"5:{at[4] + 1}: amount is '-inf'; expected a number"),
                                      (3, b"caf\xe9", f"5:{at[2] + 4}: not UTF-8 text"),
                                      (1, b"", "5:1: the client's id is empty"),
                                      (2, b"yesterday", f"5:{at[1] + 1}: tr_datetime is 'yesterday'; expected a time as day-hms")):
            self.cell(5, column, content)
            self.no_training(f"transactions.csv:{says}{broken}")

    def test_labels(self):
        self.put("gender.csv", self.tables["gender.csv"].replace(b",0\n", b",1\n"))
        self.no_training("target 'gender' has only one class, '1', in 40 clients; expected two at least")
        self.put("gender.csv", self.tables["gender.csv"].replace(b"\n1", b"\n9"))
        self.no_training("no client is left of 40: ")
        self.put("transactions.csv", self.tables["transactions.csv"].splitlines(keepends=True)[0])
        self.no_training("no client is left of 0: 0 rows")

    def test_predict(self):
        run = ["--attention", "linformer", "--rank", 8, "--out"]
        self.run_program("train", self.task, *run, "run", *QUIET)
        table = os.path.join("clients", "transactions.csv")
        self.refused("predict", "clients", table, "-o", "p.csv", says="clients/config.yaml: not there; expected the folder of a training run")
        self.refused("predict", "run", "absent.csv", "-o", "p.csv", says="absent.csv: cannot be read: No such file or directory")
        self.refused("predict", "run", table, "-o", "absent/p.csv", says="absent/p.csv: cannot write: No such file or directory")
        self.refused("predict", "run", table, "-o", "clients", says="clients: is a folder; expected a file")
        self.refused("predict", "run", table, "-o", "/dev/full", says="/dev/full: cannot write")
        self.cell(9, 5, b"NaN")
        self.refused("predict", "run", table, "-o", "p.csv", says="transactions.csv:9:")
        self.changed("transactions.csv", b"mcc_code", b"mcc", 1)
        self.refused("predict", "run", table, "-o", "p.csv", says="transactions.csv:1:1: no column 'mcc_code' among 6")
        self.put("transactions.csv", self.tables["transactions.csv"])

        self.changed("task.yaml", b"[mcc_code, tr_type]", b"[mcc_code, term_id]")   # another task: its weights, its checkpoint
        self.run_program("train", self.task, *run, "other", *QUIET)
        self.refused("train", os.path.join("clients", "task.yaml"), *run, "run", *QUIET, "--resume", says="made by another task or configuration: data is ")
        whole = read(self.path("run", "model.safetensors"))
        shutil.copy(self.path("other", "model.safetensors"), self.path("run", "model.safetensors"))
        self.refused("predict", "run", table, "-o", "p.csv", says="run/model.safetensors: was trained with another schema than the schema.json beside it")
        for length in (0, 7, 100, len(whole) - 1):
            with open(self.path("run", "model.safetensors"), "wb") as file:
                file.write(whole[:length])
            self.refused("predict", "run", table, "-o", "p.csv", says="run/model.safetensors: ")
        self.assertFalse(os.path.exists(self.path("p.csv")))

    def test_a_checkpoint_of_another_task(self):
        words = ["train", self.task, "--attention", "linformer", "--rank", 8]
        self.run_program(*words, "--out", "one", *QUIET)
        self.run_program(*words, "--out", "two", *QUIET, "--set", "model.width=32")
        for name in ("result.json", "model.safetensors"):
            os.remove(self.path("one", name))
        shutil.copy(self.path("two", "checkpoint", "state.safetensors"), self.path("one", "checkpoint", "state.safetensors"))
        before = read(self.path("one", "metrics.csv"))
        self.refused(*words, "--out", "one", *QUIET, "--resume", says="one/checkpoint/state.safetensors: ")
        self.assertEqual(read(self.path("one", "metrics.csv")), before)
        self.assertFalse(os.path.exists(self.path("one", "model.safetensors")))


class FullDisk(Case):
    def limited(self, size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def test_train_goes_on_from_what_was_written(self):
        task = self.clients(clients=40)
        words = ["train", task, "--attention", "linformer", "--rank", 8, *QUIET]
        self.run_program(*words, "--out", "whole")
        for size in (1000, 10000, 50000, 100000):
            self.refused(*words, "--out", "run", "--resume", says="cannot write: ", prepare=self.limited(size))
            self.assertFalse(glob.glob(self.path("run", "**", "*.partial"), recursive=True))
            self.assertFalse(os.path.exists(self.path("run", "model.safetensors")))
        self.run_program(*words, "--out", "run", "--resume")
        self.assertEqual(read(self.path("run", "model.safetensors")), read(self.path("whole", "model.safetensors")))

    def test_data_and_predictions(self):
        self.refused("data", "clients", "--out", "none", "--clients", 40, says="none/transactions.csv: cannot write: ", prepare=self.limited(20000))
        self.assertEqual(os.listdir(self.path("none")), [])
        task = self.clients(clients=40)
        self.run_program("train", task, "--model", "logistic", "--out", "run", *QUIET)
        self.refused("predict", "run", os.path.join("clients", "transactions.csv"), "-o", "p.csv", says="p.csv: cannot write: ", prepare=self.limited(500))
        self.assertEqual(sorted(os.listdir(self.folder)), ["clients", "none", "run"])

    def test_compare_on_a_small_disk(self):
        """A file system of a few hundred kilobytes, where the system lets an ordinary user mount one."""
        own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        if subprocess.run([*own, "mount -t tmpfs -o size=64k none " + self.folder], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no file system may be mounted here")
        task = self.clients(clients=40)
        words = ["compare", task, "--only", "softmax,linformer", "--seeds", "2", "--set", "compare.lengths=64", *QUIET]
        for size in (8, 60, 120, 400):
            os.makedirs(self.path("disk"), exist_ok=True)
            script = f"""mount -t tmpfs -o size={size}k none disk || exit 99
                "$@" --out disk/all; status=$?
                find disk -name '*.partial' | grep . && exit 98
                mount -o remount,size=20m disk && "$@" --out disk/all --resume >&2 || exit 97
                [ -s disk/all/report.html ] || exit 96
                exit $status"""
            done = subprocess.run([*own, script, "sh", PROGRAM, *words], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = done.stdout.decode(), done.stderr.decode()
            self.assertEqual((size, done.returncode, out), (size, 2, ""), err)
            self.assertRegex(err.splitlines()[0], r"^subquad: \S*disk/all\S*: .*(cannot write|disk)")


if __name__ == "__main__":
    main()
