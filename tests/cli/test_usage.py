"""Help, unknown words, list, info: what a user meets first."""
import os
import re

from cli import Case, main

HELP = """usage: subquad COMMAND ...

Trains and compares attention mechanisms that cost less than n^2 on long sequences.

  compare      train every mechanism on one task under one protocol, and report
  train        train one model on a task
  predict      what a trained model says of a table, or of events as they come
  bench        time attention or whole models against length
  list         the mechanisms and models, what each can do, their options
  show         the attention matrix that a mechanism implies, as a picture
  analyze      spectrum, entropy and distance of attention matrices
  approximate  error of every mechanism against exact attention for its cost
  verify       check this build against reference vectors
  data         generate sample clients and built-in tasks
  info         version, instruction sets, libraries, threads

'subquad COMMAND --help' says more. To begin:
  subquad data clients --out clients
  subquad compare clients/task.yaml
"""
COMMANDS = re.findall(r"^  (\w+)  ", HELP, re.M)


class Usage(Case):
    def test_help(self):
        for words in (["--help"], ["-h"], ["help"]):
            self.assertEqual(self.run_program(*words), (HELP, ""))
        self.assertEqual(self.run_program(status=2), ("", HELP))

    def test_every_command_has_help(self):
        for command in COMMANDS:
            out, err = self.run_program(command, "--help")
            self.assertTrue(out.startswith(f"usage: subquad {command}"), out)
            self.assertIn("--help", out)
            explained = [line for line in out.splitlines() if line.startswith("  ")]
            self.assertLessEqual(max(map(len, explained)), 80)
            self.assertEqual(err, "")
            self.assertEqual(self.run_program("help", command)[0], out)
        self.assertIn("--noise", self.run_program("data", "clients", "--help")[0])

    def test_version(self):
        self.assertRegex(self.run_program("--version")[0], r"^subquad \d+\.\d+\.\d+\n$")

    def test_unknown_words_name_the_nearest(self):
        self.refused("comapre", says="unknown command 'comapre'; did you mean 'compare'?")
        self.refused("frobnicate", says="unknown command 'frobnicate'")
        self.refused("--threads", "2", says="the command comes first")
        self.refused("compare", "t.yaml", "--sedes", "3", says="unknown flag '--sedes'; did you mean '--seeds'?")
        self.refused("bench", "attention", "--ranks", "3", says="did you mean '--rank'?")
        self.refused("list", "--rank", "3", says="unknown flag '--rank'")
        self.refused("list", "sofmax", says="unknown mechanism or model 'sofmax'; did you mean 'softmax'?")
        self.refused("data", "cleints", says="did you mean 'clients'?")
        self.refused("train", "t.yaml", "--attention", "perfomer", says="did you mean 'performer'?")
        self.refused("bench", "attention", "--pass", "backwards", says="did you mean 'backward'?")

    def test_wrong_arguments(self):
        self.refused("compare", says="too few arguments")
        self.assertTrue(self.refused("info", "extra", says="'extra' is one argument too many").endswith("usage: subquad info\n"))
        self.refused("compare", "a", "b", says="'b' is one argument too many")
        self.refused("compare", "t.yaml", "--seeds", says="--seeds needs a value")
        self.refused("compare", "t.yaml", "--seeds", "three", says="'three' is not a whole number")
        self.refused("compare", "t.yaml", "--seeds", "-1", says="'-1' is not a whole number")
        self.refused("compare", "t.yaml", "--seeds", 5000, says="'5000' is not a whole number from 0 to 4096")
        self.refused("bench", "attention", "--threads", 99999999999, says="is not a whole number from 0 to 4096")
        self.refused("compare", "t.yaml", "--resume=yes", says="--resume takes no value")
        self.refused("compare", "t.yaml", "--set", "epochs", says="not of the form KEY=VALUE")
        self.refused("train", "t.yaml", says="expected one of --attention NAME and --model NAME")
        self.refused("train", "t.yaml", "--attention", "all", says="all: one at a time")
        self.refused("predict", "run", "table.csv", says="-o FILE is missing")
        self.refused("data", "clients", says="--out DIR is missing")
        self.refused("bench", "attention", "--n", "256..x", says="'x' is no length")
        self.refused("bench", "attention", "--n", "0", says="'0' is no length")
        self.refused("bench", "attention", "--heads", "0", says="--heads 0")
        self.refused("bench", "attention", "--dtype", "f8", "--n", "64", "--attention", "softmax", says="f8")
        self.refused("bench", "nothing", says="unknown benchmark 'nothing'")
        self.refused("bench", "attention", "--attention", "softmax", "--rank", "3", "--n", "64", says="none of the chosen models has an option 'rank'")
        self.refused("bench", "attention", "--attention", "linformer", "--rank", "many", "--n", "64", says="rank")
        self.refused("compare", "nowhere.yaml", says="nowhere.yaml")

    def test_list(self):
        out, _ = self.run_program("list")
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        heading = out.splitlines()[0].split()
        self.assertEqual(heading[:3], ["mechanism", "causal", "cross"])
        rows = {line.split()[0]: dict(zip(heading, line.split())) for line in out.split("\n\n")[0].splitlines()[2:]}
        for name in ("softmax", "linformer", "performer", "infinite-former"):
            self.assertIn(name, rows)
        self.assertEqual(rows["softmax"]["causal"], "yes")
        self.assertEqual(rows["linformer"]["causal"], "-")
        one, _ = self.run_program("list", "linformer")
        self.assertIn("rank = 64", one)
        self.assertIn("attention.linformer.name", one)

    def test_page_of_mechanisms(self):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "MECHANISMS.md")) as page:
            self.assertEqual(self.run_program("list", "--markdown")[0], page.read(),
                             "docs/MECHANISMS.md is not what the registry says: build/subquad list --markdown > docs/MECHANISMS.md")

    def test_info(self):
        out, _ = self.run_program("info")
        for key in ("version", "threads", "matrix products", "OpenBLAS"):
            self.assertRegex(out, rf"(?m)^{key}: \S")

    def test_no_colours_beside_a_terminal(self):
        self.assertNotIn("\033", self.run_program("list")[0])

    def test_full_disk_of_output(self):
        import subprocess
        from cli import PROGRAM
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "list"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"standard output cannot be written", done.stderr)


if __name__ == "__main__":
    main()
