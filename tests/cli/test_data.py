"""The generators of built-in tasks from outside."""
import re

from cli import Case, main, read


class Data(Case):
    def test_help_names_every_task(self):
        out = self.run_program("data", "--help")[0]
        names = re.findall(r"^  ([a-z-]+)  +\w", out, re.M)
        self.assertEqual(names[:2], ["clients", "copy"])
        self.assertEqual(len(names), 11)
        for name in names:
            text = self.run_program("data", name, "--help")[0]
            self.assertTrue(text.startswith(f"usage: subquad data {name} --out DIR"), text)
            self.assertIn("--seed N", text)
            self.assertLessEqual(max(len(line) for line in text.splitlines() if line.startswith("  ")), 80)

    def test_a_task_is_written_and_described(self):
        few = ["--train", 4, "--validation", 2, "--test", 3]
        out = self.run_program("data", "repeat-copy", "--out", "a", "--max_repeats=2", *few)[0]
        self.assertIn("9 sequences with ", out)
        self.assertIn("next: subquad compare a/task.yaml", out)
        readme = read(self.path("a", "README.md")).decode()
        self.assertIn("`subquad data repeat-copy --out a --train 4 --validation 2 --test 3 --max-repeats 2`", readme)
        self.assertIn("The best that can be reached", readme)
        self.run_program("data", "repeat-copy", "--out", "b", "--max-repeats", 2, *few)
        for name in ("train.csv", "validation.csv", "test.csv"):
            self.assertEqual(read(self.path("a", name)), read(self.path("b", name)))

    def test_every_task_can_be_compared(self):
        few = ["--train", 4, "--validation", 2, "--test", 2]
        smaller = {"sorting": ["--length", 30], "adding": ["--length", 20], "listops": ["--min-length", 20, "--max-length", 60], "permuted-pixels": ["--size", 8]}
        names = re.findall(r"^  ([a-z-]+)  +\w", self.run_program("data", "--help")[0], re.M)
        for name in set(names) - {"clients", "babi"}:
            self.run_program("data", name, "--out", name, *few, *smaller.get(name, []))
            out = self.run_program("compare", f"{name}/task.yaml", "--out", f"{name}/all", "-q", "--seeds", 1, "--threads", 1, "--set", "train.epochs=1",
                                   "--set", "model.width=16", "--set", "model.heads=2")[0]
            refused = [line for line in out.splitlines() if line.startswith("NO RESULT") or line.startswith("DIVERGED")]
            self.assertEqual(refused, [], name)

    def test_what_is_wrong_is_said_in_one_line(self):
        self.refused("data", "coppy", "--out", "a", says="unknown kind 'coppy'; did you mean 'copy'?")
        self.refused("data", "copy", says="data copy: --out DIR is missing")
        self.refused("data", "copy", "--out", "a", "--bit", 3, says="unknown flag '--bit'; did you mean '--bits'?")
        self.refused("data", "copy", "--out", "a", "--bits", "many", says="copy: bits is 'many'")
        self.refused("data", "sorting", "--out", "a", "--answer", "blnk", says="expected one of given, blank; did you mean 'blank'?")
        with open(self.path("train.csv"), "w") as file:
            file.write("mine\n")
        self.refused("data", "copy", "--out", ".", says="exists and was not written by this command")
        self.assertEqual(read(self.path("train.csv")), b"mine\n")


main()
