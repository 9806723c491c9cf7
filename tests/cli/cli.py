"""What the tests of the program share: running it, a folder that goes away, sample clients."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "subquad"
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
SMALL = ["--set", "train.epochs=2", "--set", "model.width=16", "--set", "model.heads=2", "--set", "model.feed_forward=32"]


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="subquad-cli-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def run_program(self, *arguments, status=0, environment=None, timeout=240, prepare=None):
        """Runs subquad in the test's folder; gives (stdout, stderr) as text after checking the exit status. prepare runs in the child first."""
        everything = dict(os.environ, **(environment or {}))
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, env=everything, timeout=timeout, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepare)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, f"{arguments}\n{out}\n{err}")
        return out, err

    def refused(self, *arguments, says, status=2, **options):
        """Wrong usage or input: exactly one line on stderr, which holds `says`; nothing on stdout."""
        out, err = self.run_program(*arguments, status=status, **options)
        self.assertEqual(out, "")
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("subquad: "), err)
        self.assertIn(says, err)
        return err

    def clients(self, name="clients", clients=120, *more):
        self.run_program("data", "clients", "--out", name, "--clients", clients, "--seed", 3, "--min-events", 40, "--max-events", 80, *more)
        return os.path.join(name, "task.yaml")


main = unittest.main
