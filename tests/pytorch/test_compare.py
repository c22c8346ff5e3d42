#!/usr/bin/python3
"""The comparison with PyTorch and ONNX Runtime, end to end on a tiny model: test_compare.py MOHVIT"""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from unittest import mock

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "pytorch"))

import compare
import inference
import moh_vit
import synthetic

MOHVIT = os.path.abspath(sys.argv[1])
WITHOUT_ONNXRUNTIME = [] if compare.have_onnxruntime() else ["--without", "onnxruntime"]
CONFIG = {"embed_dims": [8, 16, 16, 24], "num_heads": [2, 4, 4, 6], "depths": [1, 1, 2, 1], "mlp_ratios": [3, 3, 3, 3],
          "sr_ratios": [8, 4, 2, 1], "shared_head": [1, 0, 2, 2], "routed_head": [1, 2, 1, 2], "num_classes": 10,
          "img_size": 64}

torch.set_num_threads(1)


def run(*options):
    """Exit status, standard output and standard error of a comparison of the tiny model."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump(CONFIG, config)
        config.flush()
        arguments = ["compare", "--mohvit", MOHVIT, "--config", config.name, "--threads", "1", "--rounds", "2"]
        argv = mock.patch.object(sys, "argv", arguments + list(options))
        with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                compare.main()
            except SystemExit as e:
                return e.code, out.getvalue(), err.getvalue()


class Comparison(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        status, out, err = run("--batches", "1,3", "--format", "json", *WITHOUT_ONNXRUNTIME)
        assert status == 0, err
        (results,) = json.loads(out)["models"].values()
        cls.results = {(r["name"], r["precision"]): r for r in results}
        cls.left_out = err

    def check(self, name, precision, rms):
        r = self.results[name, precision]
        self.assertTrue(r["agrees"])
        self.assertLess(r["rms"], rms)
        for batch, of in r["batches"].items():
            self.assertEqual(len(of["ms"]), 2)
            self.assertAlmostEqual(of["images_per_s"] * of["ms_median"], int(batch) * 1e3)
            self.assertGreater(of["speed_against_mohvit_f32"], 0)

    def test_the_program_is_measured_in_every_precision_that_the_processor_has(self):
        self.check("mohvit", "f32", 1e-4)
        self.assertEqual(self.results["mohvit", "f32"]["batches"]["1"]["speed_against_mohvit_f32"], 1)
        for precision in ("bf16", "int8"):
            if ("mohvit", precision) in self.results:
                self.check("mohvit", precision, compare.TOLERANCE[precision])
            else:
                self.assertIn(f"left out: mohvit {precision}", self.left_out)

    def test_pytorch_agrees(self):
        self.check("PyTorch", "f32", 1e-4)

    @unittest.skipIf(WITHOUT_ONNXRUNTIME, "ONNX Runtime is not installed")
    def test_onnx_runtime_agrees(self):
        self.check("ONNX Runtime", "f32", 1e-4)

    def test_answers_that_do_not_agree_fail_the_run(self):
        reference = compare.reference

        def another(*arguments):
            logits = reference(*arguments)
            logits[0, 3] += 0.05
            return logits

        with mock.patch.object(compare, "reference", another):
            status, out, err = run("--batches", "1", "--without", "pytorch", "--without", "onnxruntime")
        self.assertEqual(status, 1)
        self.assertIn("mohvit f32: logits are", err)
        self.assertIn("| mohvit f32 |", out)
        self.assertNotIn("PyTorch", out)

    def test_a_contestant_that_fails_ends_the_run_with_its_reason(self):
        with mock.patch.object(compare, "library_of", lambda program: "/nonexistent.so"):
            status, out, err = run("--without", "pytorch", "--without", "onnxruntime")
        self.assertIn("mohvit f32: /nonexistent.so", status)


class Core(unittest.TestCase):
    def test_contestants_get_the_core_that_openblas_has_in_the_program(self):
        with mock.patch.dict(os.environ, {"OPENBLAS_CORETYPE": "Nehalem"}):
            self.assertEqual(compare.openblas_core(MOHVIT), {"OPENBLAS_CORETYPE": "Nehalem"})
        with mock.patch.dict(os.environ):
            os.environ.pop("OPENBLAS_CORETYPE", None)
            core = compare.openblas_core(MOHVIT)
            self.assertRegex(core["OPENBLAS_CORETYPE"], "^[A-Z]")
            job = {"threads": 1}
            command = ["sh", "-c", 'printf "{\\"version\\":\\"%s\\"}" "$OPENBLAS_CORETYPE"']
            contestant = compare.Contestant("none", "f32", command, job, core)
            self.assertEqual(contestant.hear(), {"version": core["OPENBLAS_CORETYPE"]})
            contestant.close()

    def test_without_openblas_nothing_is_said(self):
        with tempfile.TemporaryDirectory() as directory:
            missing = f"{directory}/program"
            with open(missing, "w") as f:
                f.write("#!/bin/sh\nexit 3\n")
            os.chmod(missing, 0o755)
            self.assertEqual(compare.openblas_core(missing), {})


class InferenceForm(unittest.TestCase):
    def test_answers_as_the_network_that_trains(self):
        routing = {"shared_head": [0, 1, 4, 2], "routed_head": [2, 2, 0, 3]}  # none shared, one, all, several
        for change in (routing, {"dense": True}):
            model = synthetic.fill(moh_vit.MoHViT({**CONFIG, **change}), 5)
            pixels = synthetic.pixels(2, 64, 5)
            with torch.no_grad():
                expected = model(pixels)
                torch.testing.assert_close(inference.inference_form(model)(pixels), expected, atol=2e-5, rtol=2e-5)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
