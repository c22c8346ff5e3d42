#!/usr/bin/python3
"""The network in PyTorch: golden files, its parts against autograd and by hand. test_model.py GOLDEN_DIRECTORY"""

import itertools
import json
import os
import sys
import unittest

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "pytorch"))

import moh_vit
import synthetic
import tensor_file

GOLDEN = os.path.abspath(sys.argv[1])
GOLDEN_FILES = ["tiny_trace", "transnext_tiny", "moh_transnext_base_50"]  # the second is dense

torch.set_num_threads(1)


class GoldenFiles(unittest.TestCase):
    def compare(self, name, dtype, tolerance):
        expected, metadata = tensor_file.load(f"{GOLDEN}/{name}.safetensors")
        config, seed = json.loads(metadata["config"]), int(metadata["seed"])
        torch.set_default_dtype(dtype)
        self.addCleanup(torch.set_default_dtype, torch.float32)
        model = synthetic.fill(moh_vit.MoHViT(config), seed)
        pixels = synthetic.pixels(int(metadata["batch"]), config["img_size"], seed).to(dtype)
        blocks = {}
        with torch.no_grad():
            logits, routings = model.routed(pixels, blocks.__setitem__)

        def near(what, got, wanted, tolerance=tolerance):
            self.assertLessEqual(float((got - wanted).abs().max()), tolerance, f"{name}: {what}")

        near("logits", logits, expected["logits"])
        for block, tokens in blocks.items():
            if block in expected:
                near(block, tokens, expected[block])
        if "head_tokens" in expected:
            for i, routing in enumerate(routings):
                heads = len(routing.gates)
                near(f"counts {i}", routing.selected.sum(1).t(), expected["head_tokens"][:, i, :heads], 0)
                near(f"gates {i}", routing.gates.mean(1).t(), expected["head_gate_mean"][:, i, :heads])

    def test_float64_agrees_with_the_published_code(self):
        for name in GOLDEN_FILES:
            with self.subTest(name):
                self.compare(name, torch.float64, 2e-6)

    def test_float32_agrees_with_the_published_code(self):
        self.compare("tiny_trace", torch.float32, 1.5e-5)


class Gradients(unittest.TestCase):
    def gradients(self, config, dtype):
        torch.set_default_dtype(dtype)
        self.addCleanup(torch.set_default_dtype, torch.float32)
        model = synthetic.fill(moh_vit.MoHViT(config), 3)
        logits, routings = model.routed(synthetic.pixels(8, 64, 3).to(dtype))
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(8) % 5) + moh_vit.balance_loss(routings)
        loss.backward()
        return {name: p.grad.double() for name, p in model.named_parameters()}

    def test_float32_has_the_gradients_of_float64(self):
        config = {"embed_dims": [16, 32, 32, 48], "num_heads": [2, 4, 4, 6], "depths": [1, 1, 2, 1],
                  "mlp_ratios": [3, 3, 3, 3], "sr_ratios": [8, 4, 2, 1], "shared_head": [1, 0, 2, 2],
                  "routed_head": [1, 2, 1, 2], "num_classes": 5, "img_size": 64}
        wanted, got = self.gradients(config, torch.float64), self.gradients(config, torch.float32)
        for name, gradient in wanted.items():
            self.assertLessEqual(float((got[name] - gradient).norm()), 1e-3 * float(gradient.norm()) + 1e-6, name)


class Parts(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)

    def test_neighbours_have_the_gradients_of_their_definition(self):
        q, k = (torch.randn(2, 3, 4, 3, 2, dtype=torch.float64, requires_grad=True) for _ in "qk")
        a = torch.randn(2, 9, 4, 3, 2, dtype=torch.float64, requires_grad=True)
        self.assertTrue(torch.autograd.gradcheck(moh_vit.NeighbourProducts.apply, (q, k)))
        self.assertTrue(torch.autograd.gradcheck(moh_vit.NeighbourSums.apply, (a, k)))

    def test_neighbours_are_those_that_unfold_finds(self):
        q, k = torch.randn(2, 3, 4, 5, 2), torch.randn(2, 3, 4, 5, 2)
        unfolded = torch.nn.functional.unfold(k.permute(4, 0, 1, 2, 3).flatten(1, 2), 3, padding=1)
        unfolded = unfolded.view(2, 2, 3, 9, 4, 5).permute(1, 2, 3, 4, 5, 0)  # (h, d, 9, H, W, B)
        torch.testing.assert_close(moh_vit.neighbour_products(q, k), (q.unsqueeze(2) * unfolded).sum(1))
        a = torch.randn(2, 9, 4, 5, 2)
        torch.testing.assert_close(moh_vit.neighbour_sums(a, k), (a.unsqueeze(1) * unfolded).sum(2))

    def test_exactly_k_heads_are_picked_ties_to_the_lower_nan_last(self):
        values = [0.0, 1.0, float("nan"), float("inf"), -float("inf")]
        columns = torch.tensor(list(itertools.product(values, repeat=3))).t()
        for k in (1, 2, 3):
            mask = moh_vit.top_k_mask(columns, k)
            for column, picked in zip(columns.t().tolist(), mask.t().tolist()):
                rank = {x: -np.inf if np.isnan(x) else x for x in column}
                order = sorted(range(3), key=lambda i: (-rank[column[i]], i))
                self.assertEqual([float(i in order[:k]) for i in range(3)], picked, (column, k))

    def test_pooling_is_torchs_adaptive_average(self):
        for side, cells in [(7, 3), (14, 7), (5, 5), (9, 4)]:
            x = torch.randn(1, 2, side, side, dtype=torch.float64)
            pooled = x.flatten(2) @ moh_vit.pooling(side, cells).t()
            torch.testing.assert_close(pooled.view(1, 2, cells, cells), torch.nn.functional.adaptive_avg_pool2d(x, cells))


class BalanceLoss(unittest.TestCase):
    """Worth 0.01 · routed / E · E = 0.01 · routed where the work is even, more where probability meets load."""

    def routing(self, logits, k, shared=0):
        mask = moh_vit.top_k_mask(logits, k)
        ones = torch.ones(shared, *logits.shape[1:])
        return moh_vit.Routing(None, torch.cat([ones, mask]), logits, logits.softmax(0))

    def test_equals_the_formula_written_out(self):
        torch.manual_seed(2)
        logits = [torch.randn(5, 7, 3), torch.randn(3, 4, 3)]
        total = 0.0
        for x, k in zip(logits, (2, 1)):
            candidates, n, b = x.shape
            p, chosen = x.softmax(0), x.topk(k, 0).indices
            products = [float(p[i].sum()) / (n * b) * int((chosen == i).sum()) / (n * b) for i in range(candidates)]
            total += candidates ** 2 * sum(products) / candidates
        loss = moh_vit.balance_loss([self.routing(logits[0], 2, shared=2), self.routing(logits[1], 1)])
        self.assertAlmostEqual(float(loss), 0.01 * total / 2, places=6)

    def test_even_work_is_least_and_one_busy_head_most(self):
        even = self.routing(torch.eye(4).unsqueeze(-1) * 1e-3, 1)
        busy = self.routing(torch.tensor([9.0, 0, 0, 0]).view(4, 1, 1).expand(4, 4, 1), 1)
        self.assertAlmostEqual(float(moh_vit.balance_loss([even])), 0.01, places=6)
        self.assertGreater(float(moh_vit.balance_loss([busy])), 0.039)

    def test_a_model_without_routing_has_none(self):
        self.assertEqual(float(moh_vit.balance_loss([moh_vit.Routing(None, None, None, None)])), 0.0)

    def test_moves_probability_from_busy_heads_to_idle_ones(self):
        logits = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1).expand(3, 6, 1).clone().requires_grad_()
        moh_vit.balance_loss([self.routing(logits, 1)]).backward()
        gradient = logits.grad.sum((1, 2))
        self.assertGreater(float(gradient[0]), 0)
        self.assertLess(float(gradient[2]), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
