"""predict --stream: a prediction after every event, states that are saved and taken up again."""
import csv
import io
import os
import random
import subprocess
import time

from cli import PROGRAM, SMALL, Case, main, read


class Stream(Case):
    def setUp(self):
        super().setUp()
        task = self.clients()
        self.run_program("train", task, "--model", "gru", "--out", "run", *SMALL, "--set", "data.time.age=false", "--threads", 1, "-q")
        with open(self.path("clients", "transactions.csv")) as file:
            self.rows = file.read().splitlines(keepends=True)
        self.heading = self.rows.pop(0)

    def stream(self, rows, *more, status=0):
        done = subprocess.run([PROGRAM, "predict", "run", "--stream", *more], cwd=self.folder, input=(self.heading + "".join(rows)).encode(), timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return done.stdout.decode(), done.stderr.decode()

    def test_every_event(self):
        out, err = self.stream(self.rows)
        self.assertIn(f"{len(self.rows)} events of 120 clients", err)
        self.run_program("predict", "run", os.path.join("clients", "transactions.csv"), "-o", "p.csv")
        last = {row["id"]: row for row in csv.DictReader(io.StringIO(out))}
        with open(self.path("p.csv")) as file:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    if key != "id":
                        self.assertAlmostEqual(float(value), float(last[row["id"]][key]), places=5)

    def test_clients_that_mix(self):
        whole, _ = self.stream(self.rows)
        by_client = {}
        for row in self.rows:
            by_client.setdefault(row.split(",")[0], []).append(row)
        queues, mixed = list(by_client.values()), []
        draw = random.Random(1)
        while queues:
            queue = draw.choice(queues)
            mixed.append(queue.pop(0))
            if not queue:
                queues.remove(queue)
        other, _ = self.stream(mixed)
        self.assertEqual(sorted(whole.splitlines()), sorted(other.splitlines()))

    def test_taken_up_again_with_the_same_bits(self):
        whole, _ = self.stream(self.rows)
        parts = ""
        for i, begin in enumerate(range(0, len(self.rows), 1777)):
            out, err = self.stream(self.rows[begin:begin + 1777], "--state", "clients.state")
            parts += out if i == 0 else out.split("\n", 1)[1]
        self.assertEqual(parts, whole)
        self.assertIn("clients.state holds the state", err)

    def test_at_once(self):
        program = subprocess.Popen([PROGRAM, "predict", "run", "--stream"], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for i, text in enumerate([self.heading + self.rows[0], self.rows[1], self.rows[2]]):
            program.stdin.write(text.encode())
            program.stdin.flush()
            for _ in range(2 if i == 0 else 1):
                line = program.stdout.readline()   # hangs, and so fails, if rows were gathered first
            self.assertEqual(line.decode().split(",")[1], str(i + 1))
        program.stdin.close()
        self.assertEqual(program.wait(timeout=60), 0)
        program.stdout.close()
        program.stderr.close()

    def test_events_out_of_order(self):
        own = [row for row in self.rows if row.split(",")[0] == self.rows[0].split(",")[0]]
        out, err = self.stream([own[5], own[0]], status=2)
        self.assertEqual(out.count("\n"), 2)
        self.assertIn("expected a time not before the client's previous event", err)
        self.assertNotIn("skipped", err)
        self.run_program("train", os.path.join("clients", "task.yaml"), "--model", "gru", "--out", "lenient", *SMALL, "--set", "data.time.age=false", "--set",
                         "data.on_broken_row=skip", "--set", "train.epochs=1", "-q")
        with open(self.path("late.csv"), "w") as file:
            file.write(self.heading + own[5] + own[0] + own[6])
        _, err = self.run_program("predict", "lenient", "late.csv", "--stream")
        self.assertIn("2 events of 1 client,", err)
        self.assertIn("1 broken row skipped", err)

    def test_stopped_while_it_waits(self):
        program = subprocess.Popen([PROGRAM, "predict", "run", "--stream", "--state", "s.state"], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        program.stdin.write((self.heading + self.rows[0]).encode())
        program.stdin.flush()
        first = program.stdout.readline() + program.stdout.readline()
        program.terminate()
        self.assertEqual(program.wait(timeout=30), 130)   # no further event comes
        program.communicate()
        again, _ = self.stream(self.rows[1:20], "--state", "s.state")
        whole, _ = self.stream(self.rows[:20])
        self.assertEqual(first.decode() + again.split("\n", 1)[1], whole)

    def test_reader_that_goes_away(self):
        with open(self.path("events.csv"), "w") as file:
            file.write(self.heading + "".join(self.rows))
        program = subprocess.Popen([PROGRAM, "predict", "run", "events.csv", "--stream", "--state", "s.state"], cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        program.stdout.readline()
        program.stdout.close()
        self.assertIn(b"standard output cannot be written", program.stderr.read())
        program.stderr.close()
        self.assertEqual(program.wait(timeout=60), 2)
        self.assertTrue(os.path.exists(self.path("s.state")))

    def test_memory_does_not_grow(self):
        place = self.heading.strip().split(",").index("tr_datetime")

        def later(row, days):
            cells = row.split(",")
            day, clock = cells[place].split(" ")
            cells[place] = f"{int(day) + days} {clock}"
            return ",".join(cells)

        def peak(rows):
            script = f"ulimit -v 4000000; exec '{PROGRAM}' predict run --stream > out.csv"
            before = time.time()
            process = subprocess.Popen(["sh", "-c", script], cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdin.write(self.heading.encode())
            for again in range(rows // 1000):
                process.stdin.write("".join(later(row, 1000 * again) for row in self.rows[:1000]).encode())
            process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = 0
            self.assertEqual(status, 0, time.time() - before)
            return usage.ru_maxrss
        self.assertLess(peak(60000), peak(2000) + 2048)   # KiB; the same clients over and over, thirty times as many events

    def test_refusals(self):
        self.run_program("train", os.path.join("clients", "task.yaml"), "--attention", "softmax", "--out", "encoder", *SMALL, "--set", "train.epochs=1", "-q")
        self.refused("predict", "encoder", "--stream", says="softmax cannot predict event by event")
        self.run_program("train", os.path.join("clients", "task.yaml"), "--model", "gru", "--out", "ages", *SMALL, "--set", "train.epochs=1", "-q")
        self.refused("predict", "ages", "--stream", says="data.time.age=false")
        self.refused("predict", "run", "--stream", "-o", "x.csv", says="-o does not go with it")
        self.refused("predict", "run", os.path.join("clients", "transactions.csv"), "-o", "x.csv", "--state", "s", says="--state goes with --stream")
        self.refused("predict", "run", "none.csv", "--stream", says="none.csv")
        self.refused("predict", "run", os.path.join("clients", "transactions.csv"), "--stream", "--state", os.path.join("none", "s"), says="cannot be written")
        with open(self.path("bad.state"), "w") as file:
            file.write("no state")
        self.refused("predict", "run", "--stream", "--state", "bad.state", says="bad.state")
        self.assertEqual(read(self.path("bad.state")), b"no state")
        self.stream(self.rows[:50], "--state", "s.state")
        self.run_program("train", os.path.join("clients", "task.yaml"), "--model", "gru", "--out", "run2", *SMALL, "--seed", 2, "--set", "data.time.age=false", "-q")
        self.refused("predict", "run2", "--stream", "--state", "s.state", says="another model")

    def test_a_broken_row_keeps_what_came_before(self):
        rows = self.rows[:40] + ["1,x,y\n"] + self.rows[40:60]
        out, err = self.stream(rows, "--state", "s.state", status=2)
        self.assertEqual(out.count("\n"), 41)
        self.assertIn("/dev/stdin:42:", err)
        again, _ = self.stream(self.rows[40:60], "--state", "s.state")
        whole, _ = self.stream(self.rows[:60])
        self.assertEqual(out + again.split("\n", 1)[1], whole)


if __name__ == "__main__":
    main()
