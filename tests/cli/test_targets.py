"""Targets beside a class per client, from the built-in tasks to predictions."""
import csv

from cli import Case, main, read

TINY = ["--set", "model.width=16", "--set", "model.heads=2", "--set", "model.feed_forward=32", "--set", "train.epochs=2", "-q", "--threads", 1]


class Targets(Case):
    def task(self, name, *options):
        self.run_program("data", name, "--out", name, "--train", 60, "--validation", 10, "--test", 10, *options)
        return f"{name}/task.yaml"

    def rows(self, name):
        with open(self.path(name), newline="") as file:
            return list(csv.reader(file))

    def trained(self, task, model, *more):
        out = self.run_program("train", task, "--model", model, "--out", "run", *TINY, *more)[0]
        self.run_program("predict", "run", task.replace("task.yaml", "test.csv"), "-o", "predictions.csv")
        return out, self.rows("predictions.csv")

    def test_bits(self):
        out, rows = self.trained(self.task("copy", "--max-length", 3, "--bits", 2), "gru")
        self.assertRegex(out, r"test +bits [\d.]+  bit-errors [\d.]+  exact [\d.]+\n")
        self.assertEqual(rows[0], ["id", "event", "p_t1", "p_t2"])
        self.assertEqual([row[1] for row in rows if row[0] == "0"], [str(1 + i) for i in range(sum(row[0] == "0" for row in rows))])
        self.assertTrue(all(0 <= float(p) <= 1 for row in rows[1:] for p in row[2:]))
        self.assertIn(b"epoch,step,train_loss,validation_loss,bits,bit_errors,exact,seconds\n", read(self.path("run", "metrics.csv")))
        streamed = self.run_program("predict", "run", "copy/test.csv", "--stream")[0].splitlines()
        self.assertEqual(streamed[0], "id,event,p_t1,p_t2")
        self.assertEqual(len(streamed), len(rows))

    def test_classes_of_events(self):
        out, rows = self.trained(self.task("sorting", "--length", 12, "--vocabulary", 3), "gru")
        self.assertRegex(out, r"test +accuracy [\d.]+  log-loss [\d.]+  perplexity [\d.]+  exact [\d.]+\n")
        self.assertEqual(rows[0], ["id", "event", "class", "probability"])
        self.assertEqual(len(rows), 1 + 10 * 15)
        self.assertTrue(all(row[2] in "012" and float(row[3]) > 0.3 for row in rows[1:]))

    def test_numbers(self):
        out, rows = self.trained(self.task("adding", "--length", 9), "logistic")
        self.assertRegex(out, r"test +mse [\d.e-]+  mae [\d.e-]+  r2 -?[\d.]+\n")
        self.assertEqual(rows[0], ["id", "number"])
        self.assertEqual(len(rows), 11)

    def test_the_next_byte(self):
        with open(self.path("texts.csv"), "w") as file:
            file.write("text\n" + "".join(f"{'abc' * 9}{i % 3}\n" for i in range(60)))
        with open(self.path("task.yaml"), "w") as file:
            file.write("data: {kind: text, files: texts.csv, text: text, target: {kind: event-class, next: true}, max_length: 16}\n")
        out = self.run_program("train", "task.yaml", "--attention", "softmax", "--out", "run", *TINY, "--set", "model.causal=true", "--set", "train.batch=4",
                               "--set", "train.learning_rate=0.02", "--set", "train.epochs=8")[0]
        self.assertRegex(out, r"test +accuracy 0\.[6-9]")
        self.refused("train", "task.yaml", "--attention", "softmax", "--out", "other", *TINY, says="set model.causal to true")
        self.run_program("predict", "run", "texts.csv", "-o", "predictions.csv")
        rows = self.rows("predictions.csv")
        self.assertEqual(len(rows), 1 + 60 * 28)
        self.assertEqual([row[:2] for row in rows[1:29]], [["1", str(i + 1)] for i in range(28)])   # over the cut into pieces
        right = sum(row[2] == str(ord("bca"[i % 3])) for i, row in enumerate(rows[1:26]))
        self.assertGreater(right, 15)

    def test_compare_shows_what_is_asked(self):
        task = self.task("copy", "--max-length", 3, "--bits", 2)
        out = self.run_program("compare", task, "--only", "softmax,gru,logistic", "--seeds", 1, "--out", "all", *TINY)[0]
        self.assertRegex(out, r"test split +bits +bit-errors +exact\n")
        self.assertIn("saying the same of all, what fits the training split best: bits ", out)
        self.assertIn("NO RESULT: logistic: logistic is a model of a client's aggregates: it cannot answer for single events", out)
        self.assertIn(b"mechanism,seed,baseline,diverged,test_bits,test_bit_errors,test_exact,", read(self.path("all", "results.csv")))
        page = read(self.path("all", "report.html")).decode()
        self.assertIn("bits per sequence", page)
        self.assertNotIn("Confusion", page)

    def test_what_is_wrong_is_said_with_its_place(self):
        task = self.task("copy")
        text = read(self.path(task)).decode()
        for line, says in (("  metric: auc", "train: metric is 'auc', but the target is bits of events; expected auto or one of bits, bit-errors, exact"),
                           ("  label_smoothing: 0.1", "train: label_smoothing is 0.1, but the target is bits of events")):
            with open(self.path("bad.yaml"), "w") as file:
                file.write(text.replace("train.csv", "copy/train.csv").replace("\ntrain:\n", f"\ntrain:\n{line}\n"))
            message = self.refused("train", "bad.yaml", "--model", "gru", "--out", "run", says=says)
            place = text.split("\ntrain:\n")[0].count("\n") + 3
            self.assertIn(f"bad.yaml:{place}:{line.index(':') + 3}: ", message)
        with open(self.path("copy", "train.csv"), "a") as file:
            file.write("99," + "0," * 9 + "1,0,,0,0,0,0,0\n")
        self.refused("train", task, "--model", "gru", "--out", "run", "-q", says="a bit of the target is empty and others of the event are not")


main()
