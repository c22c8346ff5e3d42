#!/usr/bin/python3
"""Training of a tiny model: test_train.py MOHVIT"""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
import unittest.mock

import numpy as np
import torch
from PIL import Image

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, f"{ROOT}/tools/pytorch")

import ablate
import fashion_mnist
import tensor_file

MOHVIT = os.path.abspath(sys.argv[1])
CONFIG = {"embed_dims": [8, 8, 16, 16], "num_heads": [2, 2, 4, 4], "depths": [1, 1, 1, 1], "mlp_ratios": [3, 3, 3, 3],
          "sr_ratios": [8, 4, 2, 1], "shared_head": [0, 1, 1, 2], "routed_head": [1, 1, 1, 1], "num_classes": 10,
          "img_size": 64}


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        with open(f"{cls.directory}/config.json", "w") as f:
            json.dump(CONFIG, f)
        assert cls.start("whole").wait() == 0

    @classmethod
    def start(cls, out, *options):
        command = [f"{ROOT}/tools/pytorch/train.py", "--config", f"{cls.directory}/config.json", "--out",
                   f"{cls.directory}/{out}", "--epochs", "3", "--batch", "32", "--train-images", "160",
                   "--test-images", "200", "--warm-up", "4", "--save-every", "1", "--evaluate-every", "6", *options]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def rows(self, out):
        with open(f"{self.directory}/{out}/log.csv") as f:
            return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in csv.DictReader(f)]

    def saved_at(self, out):
        path = f"{self.directory}/{out}/checkpoint.pt"
        return os.stat(path).st_mtime_ns if os.path.exists(path) else 0

    def test_a_run_that_was_killed_ends_as_one_that_was_not(self):
        run = self.start("killed")
        while not self.saved_at("killed"):
            self.assertIsNone(run.poll(), "it ended before it was killed")
            time.sleep(0.01)
        run.kill()
        run.wait()
        saved = -1
        while saved != self.saved_at("killed"):  # until its workers have seen that it is gone
            saved = self.saved_at("killed")
            time.sleep(2)
        self.assertFalse(os.path.exists(f"{self.directory}/killed/model.safetensors"), "it was at its end")
        self.assertEqual(self.start("killed").wait(), 0)

        self.assertEqual([row["step"] for row in self.rows("whole")], ["6", "12", "15"])
        self.assertEqual(self.rows("whole"), self.rows("killed"))
        whole, killed = (tensor_file.load(f"{self.directory}/{out}/model.safetensors") for out in ("whole", "killed"))
        for name, value in whole[0].items():
            self.assertTrue(torch.equal(value, killed[0][name]), name)

    def test_one_process_computes_what_two_do(self):
        self.assertEqual(self.start("one", "--processes", "1", "--stop-after", "6").wait(), 0)
        model, _ = tensor_file.load(f"{self.directory}/one/model.safetensors")  # of six steps
        whole, _ = tensor_file.load(f"{self.directory}/whole/model.safetensors")
        self.assertFalse(torch.equal(model["head.weight"], whole["head.weight"]))
        self.assertAlmostEqual(float(self.rows("one")[0]["loss"]), float(self.rows("whole")[0]["loss"]), delta=2e-3)

    def test_another_run_is_not_gone_on_with(self):
        saved = self.saved_at("whole")
        self.assertNotEqual(self.start("whole", "--lr", "0.1").wait(), 0)
        self.assertEqual(self.saved_at("whole"), saved)

    def test_only_centre_taps_are_left_of_the_weights_that_it_starts_from(self):
        whole = f"{self.directory}/whole/model.safetensors"
        self.assertEqual(self.start("centres", "--centre-only", "--clutter", "--from", whole, "--lr", "1e-9", "--epochs",
                                    "1").wait(), 0)
        start, end = (tensor_file.load(path)[0] for path in (whole, f"{self.directory}/centres/model.safetensors"))
        name = "block1.0.mlp.dwconv.dwconv.weight"
        taps, before = end.pop(name).view(-1, 9), start[name].view(-1, 9)
        self.assertEqual(int((taps != 0).sum()), len(taps))
        self.assertLess(float((taps[:, 4] - before[:, 4]).abs().max()), 1e-6)
        self.assertEqual(self.start("task", "--clutter", "--task", "cue").wait(), 2)

    def test_the_program_reads_what_training_writes(self):
        parameters = []
        for name, options in [("model.pth", ["--config", f"{self.directory}/config.json"]), ("model.safetensors", [])]:
            result = subprocess.run([MOHVIT, "info", "--format", "json", "--weights", f"{self.directory}/whole/{name}",
                                     *options], stdout=subprocess.PIPE, check=True)
            parameters.append(json.loads(result.stdout)["parameters"])
        self.assertEqual(parameters[0], parameters[1])
        self.assertGreater(os.path.getsize(f"{self.directory}/whole/curve.svg"), 1000)

    def test_a_table_of_no_results_says_so(self):
        results = f"{self.directory}/results.csv"
        with unittest.mock.patch("ablate.RESULTS", results), self.assertRaises(SystemExit) as end:
            ablate.table()
        self.assertEqual(end.exception.code,
                         f"{results}: no results yet; --out DIRECTORY trains and scores what is missing")


class Pictures(unittest.TestCase):
    def test_in_clutter_half_of_the_items_are_whole_and_smaller_and_half_as_they_were(self):
        pictures, _ = fashion_mnist.load("train", 64, 64)
        cluttered = fashion_mnist.clutter(pictures, np.random.default_rng(0))
        same = [np.array_equal(*pair) for pair in zip(pictures, cluttered)]
        self.assertTrue(20 <= sum(same) <= 44)
        sides = set()
        for picture, scene in zip(pictures[np.invert(same)], cluttered[np.invert(same)]):
            found = set()
            for side in range(24, 49):
                item = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
                places = np.lib.stride_tricks.sliding_window_view(scene, (side, side))
                if (places == item).all((2, 3)).any():
                    found.add(side)
            self.assertEqual(len(found), 1)
            sides |= found
        self.assertGreater(max(sides) - min(sides), 12)

    def test_a_batch_is_the_same_however_it_is_cut(self):
        for clutter in (False, True):
            args = types.SimpleNamespace(seed=0, batch=32, epochs=1, clutter=clutter, train_images=64, test_images=1)
            data = fashion_mnist.Training(args, 64)
            whole, halves = data.batch(1, slice(None))[0], [data.batch(1, slice(rank, None, 2))[0] for rank in (0, 1)]
            self.assertTrue(torch.equal(whole[0::2], halves[0]) and torch.equal(whole[1::2], halves[1]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
