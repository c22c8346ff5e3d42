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

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "pytorch"))

import compare
import inference
import moh_vit
import published
import synthetic

MOHVIT = os.path.abspath(sys.argv[1])
MISSING = compare.what_is_missing([])
ALONE = [word for name in compare.CONTESTANTS for word in ("--without", name)]
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
        status, out, err = run("--batches", "1,3", "--format", "json")
        assert status == 0, err
        cls.answer = json.loads(out)
        (results,) = cls.answer["models"].values()
        cls.results = {(r["name"], r["precision"]): r for r in results}
        cls.err = err

    def check(self, name, precision, rms):
        r = self.results[name, precision]
        self.assertTrue(r["agrees"])
        self.assertLess(r["rms"], rms)
        for batch, of in r["batches"].items():
            ours = self.results["mohvit", "f32" if name == "mohvit" else precision]["batches"][batch]["rounds_ms"]
            self.assertEqual(r["against"], "mohvit f32" if name == "mohvit" else f"mohvit {precision}")
            self.assertEqual(len(of["rounds_ms"]), 2)
            self.assertEqual(of["ms"]["median"], sum(of["rounds_ms"]) / 2)
            self.assertAlmostEqual(of["images_per_s"] * of["ms"]["median"], int(batch) * 1e3)
            ratios = sorted(its / our for its, our in zip(of["rounds_ms"], ours))
            self.assertEqual(of["time_over_mohvit"], {"median": sum(ratios) / 2, "low": ratios[0], "high": ratios[1]})

    def test_the_program_is_measured_in_every_precision_that_the_processor_has(self):
        self.check("mohvit", "f32", 1e-4)
        self.assertEqual(self.results["mohvit", "f32"]["batches"]["1"]["time_over_mohvit"]["high"], 1)
        for precision in ("bf16", "int8", "f16"):
            if ("mohvit", precision) in self.results:
                self.check("mohvit", precision, compare.TOLERANCE[precision])
            else:
                self.assertIn(f"left out: mohvit {precision}", self.err)

    def test_pytorch_agrees_as_published_and_as_deployed(self):
        self.check("PyTorch, published code", "f32", 1e-4)
        self.check("PyTorch", "f32", 1e-4)

    @unittest.skipIf("onnxruntime" in MISSING, "ONNX Runtime is not installed")
    def test_onnx_runtime_agrees(self):
        self.check("ONNX Runtime", "f32", 1e-4)

    @unittest.skipIf("onnxruntime-int8" in MISSING, "ONNX Runtime or python3-onnx is not installed")
    def test_onnx_runtime_in_int8_strays_as_int8_does_and_no_farther(self):
        self.check("ONNX Runtime", "int8", 0.1)
        self.assertGreater(self.results["ONNX Runtime", "int8"]["rms"], 1e-3)

    def test_the_processor_and_what_was_left_out_are_said(self):
        self.assertTrue(self.answer["cpu"])
        self.assertEqual(self.answer["left_out"].keys() & set(compare.CONTESTANTS), MISSING.keys())
        self.assertIn("batch 3: round 2 of 2", self.err)

    def test_what_is_not_installed_is_left_out_with_a_word_on_how_to_get_it(self):
        with mock.patch.object(compare, "ONNXRUNTIME", "/nowhere"):
            status, out, err = run("--batches", "1", "--without", "pytorch", "--without", "published")
        self.assertEqual(status, 0, err)
        self.assertNotIn("ONNX Runtime", out)
        for name in ("onnxruntime", "onnxruntime-int8"):
            self.assertRegex(err, f"left out: {name}: not installed; tools/pytorch/setup")
        self.assertNotIn("left out: pytorch", err)

    def test_answers_that_do_not_agree_fail_the_run(self):
        reference = compare.reference

        def another(*arguments):
            logits = reference(*arguments)
            logits[0, 3] += 0.05
            return logits

        with mock.patch.object(compare, "reference", another):
            status, out, err = run("--batches", "1", *ALONE)
        self.assertEqual(status, 1)
        self.assertIn("mohvit f32: logits are", err)
        self.assertIn("| mohvit f32 |", out)
        self.assertNotIn("PyTorch", out)

    def test_a_contestant_that_fails_ends_the_run_with_its_reason(self):
        with mock.patch.object(compare, "library_of", lambda program: "/nonexistent.so"):
            status, out, err = run(*ALONE)
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


class Summary(unittest.TestCase):
    def test_medians_come_with_the_interval_that_bench_has(self):
        self.assertEqual(compare.summary([3.0]), {"median": 3, "low": 3, "high": 3})
        for n, rank in ((2, 1), (5, 1), (7, 1), (9, 2), (41, 14)):  # of the lower end, counted from 1
            values = [float(n - i) for i in range(n)]
            self.assertEqual(compare.summary(values), {"median": (n + 1) / 2, "low": rank, "high": n + 1 - rank})


@unittest.skipIf("onnxruntime-int8" in MISSING, "ONNX Runtime or python3-onnx is not installed")
class Quantization(unittest.TestCase):
    def test_weights_are_bytes_with_a_scale_for_each_output(self):
        import quantize

        weight = np.array([[0.5, 0, -3], [-1, 0, 1.5]], np.float32)
        for bits, largest in ((8, 127), (7, 63)):
            values, scale = quantize.quantized(weight, bits)
            self.assertEqual(values.dtype, np.int8)
            self.assertEqual(np.abs(values).max(0).tolist(), [largest, 0, largest])
            self.assertLessEqual(np.abs(values * scale - weight).max(), 3 / largest / 2 + 1e-6)

    def test_every_linear_layer_of_a_block_is_quantized_but_no_router(self):
        import onnx
        import quantize

        model = inference.inference_form(synthetic.fill(moh_vit.MoHViT(CONFIG), 5))
        with tempfile.TemporaryDirectory() as directory:
            inference.export(model, f"{directory}/f32", synthetic.pixels(2, 64, 5))
            quantize.quantize(f"{directory}/f32", f"{directory}/int8", 8)
            nodes = onnx.load(f"{directory}/int8").graph.node
        # proj, fc1, fc2 in five blocks; q, sr and, of tokens and of the pooled map, kv in four of them; qkv in one.
        self.assertEqual(sum(node.op_type == "MatMulInteger" for node in nodes), 5 * 3 + 4 * 4 + 1)
        routers = [node.op_type for node in nodes if "/router/MatMul" in node.name]
        self.assertEqual(routers, ["MatMul"] * 5)


class OtherForms(unittest.TestCase):
    def test_they_answer_as_the_network_that_trains(self):
        routing = {"shared_head": [0, 1, 4, 2], "routed_head": [2, 2, 0, 3]}  # none shared, one, all, several
        pixels = synthetic.pixels(2, 64, 5)
        for change in (routing, {"dense": True}):
            for form in (inference.inference_form, published.published_form):
                model = synthetic.fill(moh_vit.MoHViT({**CONFIG, **change}), 5)
                with torch.no_grad():
                    expected = model(pixels)
                    torch.testing.assert_close(form(model)(pixels), expected, atol=2e-5, rtol=2e-5)

    def test_frozen_it_takes_batches_of_any_size(self):
        model = inference.inference_form(synthetic.fill(moh_vit.MoHViT(CONFIG), 5))
        pixels = synthetic.pixels(3, 64, 5)
        frozen = inference.frozen(model, pixels[:2])
        with torch.no_grad():
            for batch in (3, 1, 3):
                torch.testing.assert_close(frozen(pixels[:batch]), model(pixels[:batch]), atol=2e-5, rtol=2e-5)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
