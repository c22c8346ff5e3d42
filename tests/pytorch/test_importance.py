#!/usr/bin/python3
"""Correlations of tools/pytorch/importance.py, and that docs/study.md quotes those of the logs: test_importance.py MOHVIT"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, f"{ROOT}/tools/pytorch")

import importance
import runs

SCRIPT = f"{ROOT}/tools/pytorch/importance.py"
MODEL = f"{runs.LOGS}/moh_vit_nano"


def files(heads, classes=((1.0, 1.0),)):
    """What the program would write of routed heads (loss_change, load, gate) of block 4.0, and of a shared one. classes:
    by what the loads and gates of each are multiplied."""
    ablated = [{"stage": 4, "block": 0, "head": i, "kind": kind, "loss_change": cost}
               for i, (kind, cost) in enumerate([("shared", 9), *(("routed", cost) for cost, *_ in heads)])]
    rows = [{"stage": "4", "block": "0", "head": str(i), "load": str(load * scale_load), "gate": str(gate * scale_gate)}
            for scale_load, scale_gate in classes
            for i, (_, load, gate) in enumerate([(9, 1, 1), *heads])]
    return {"ablated": ablated}, rows


class Correlations(unittest.TestCase):
    def relations(self, *arguments):
        return {measure: numbers for _, _, measure, *numbers in importance.relations(*files(*arguments))}

    def test_a_gate_that_says_the_cost_has_1_and_a_load_that_says_nothing_0(self):
        found = self.relations([(1, 0.5, 0.1), (2, 0.7, 0.2), (3, 0.7, 0.3), (4, 0.5, 0.4)])
        self.assertAlmostEqual(found["gate"][0], 1)
        self.assertAlmostEqual(found["load"][0], 0)
        self.assertAlmostEqual(found["load"][2], 0)

    def test_ranks_forget_how_far_and_equal_values_share_theirs(self):
        self.assertEqual(importance.ranks([5, 1, 5, 100]), [2.5, 1, 2.5, 4])
        pearson, _, by_ranks = self.relations([(1, 0.5, 0.1), (2, 0.5, 0.2), (3, 0.5, 0.3), (400, 0.5, 0.4)])["gate"]
        self.assertLess(pearson, 0.9)
        self.assertAlmostEqual(by_ranks, 1)

    def test_an_interval_is_fishers(self):
        low, high = importance.interval(0.5, 28)  # of 28, a standard error of 0.2
        self.assertAlmostEqual(low, 0.1560, 4)
        self.assertAlmostEqual(high, 0.7358, 4)
        for r, count in ((0.5, 3), (1.0, 28), (None, 28)):
            self.assertIsNone(importance.interval(r, count))

    def test_what_is_alike_in_all_heads_goes_with_nothing(self):
        self.assertEqual(self.relations([(1, 0.5, 0.1), (2, 0.5, 0.2)])["load"], [None, None, None])

    def test_classes_weigh_the_same(self):
        heads = [(1, 0.2, 0.1), (2, 0.1, 0.4), (3, 0.4, 0.2)]
        for one, two in zip(self.relations(heads).values(), self.relations(heads, ((0.5, 1.5), (1.5, 0.5))).values()):
            self.assertAlmostEqual(one[0], two[0])

    def test_files_that_do_not_belong_together_are_refused(self):
        ablated, rows = files([(1, 0.5, 0.1), (2, 0.7, 0.2)])
        for wrong, message in (((ablated, rows[:-1]), "no head 2 of block 4.0"), (({"ablated": []}, rows), "no routed head")):
            with self.assertRaises(SystemExit) as end:
                list(importance.relations(*wrong))
            self.assertIn(message, end.exception.code)


class Files(unittest.TestCase):
    def test_it_reads_what_the_program_writes(self):
        with tempfile.TemporaryDirectory() as directory:
            def program(*arguments, to="printed"):
                with open(f"{directory}/{to}", "w", encoding="utf-8") as out:
                    subprocess.run([PROGRAM, "headload", *arguments], stdout=out, stderr=subprocess.DEVNULL, check=True,
                                   cwd=directory)
            program("ablate", runs.TEST_SET, "--limit", "20", "--heads", "routed", "--format", "json", to="ablated.json")
            program("count", runs.TEST_SET, "--limit", "20", "-o", "load.safetensors")
            program("export", "load.safetensors", "--csv", to="load.csv")
            told = subprocess.run([SCRIPT, "ablated.json", "load.csv"], cwd=directory, check=True, capture_output=True,
                                  text=True).stdout
            self.assertEqual([line.split("|")[1:4] for line in told.splitlines()[2:]],
                             [[f" {block} ", f" {heads} ", f" {measure} "] for block, heads in
                              (("1.0", 3), ("2.0", 3), ("3.0", 6), ("3.1", 6), ("3.2", 6), ("4.0", 14))
                              for measure in ("load", "gate")])

    def test_the_page_quotes_the_logs(self):
        with open(f"{MODEL}.ablated.json", encoding="utf-8") as a, open(f"{MODEL}.load.csv", encoding="utf-8") as l:
            found = {r[2]: r[3:] for r in importance.relations(json.load(a), list(csv.DictReader(l))) if r[0] == "4.0"}
        with open(f"{ROOT}/docs/study.md", encoding="utf-8") as f:
            page = " ".join(f.read().replace("−", "-").split())
        (gate, (low, high), gate_ranks), (load, (load_low, load_high), load_ranks) = found["gate"], found["load"]
        self.assertIn(f"correlation {gate:.2f}, 95 % interval {low:.2f} to {high:.2f}; by ranks {gate_ranks:.2f}", page)
        self.assertIn(f"({load:.2f}, {load_low:.2f} to {load_high:.2f}; by ranks {load_ranks:.2f})", page)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop())
    unittest.main()
