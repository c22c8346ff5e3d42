#!/usr/bin/python3
"""What tools/pytorch/interventions.py replaces, against the same done by hand, and against eval --drop-heads of the C
program: test_interventions.py MOHVIT"""

import os
import subprocess
import sys
import tempfile
import unittest

import torch

sys.path[:0] = [os.path.join(os.path.dirname(__file__), "..", *below) for below in (("..", "tools", "pytorch"), ("eval",))]

import fashion_mnist
import interventions
import moh_vit
import runs
import synthetic
import vectors

CONFIG = {"embed_dims": [8, 8, 16, 16], "num_heads": [2, 2, 4, 4], "depths": [1, 1, 2, 1], "mlp_ratios": [2, 2, 2, 2],
          "sr_ratios": [4, 2, 1, 1], "num_classes": 10, "img_size": 64, "shared_head": [0, 1, 1, 2],
          "routed_head": [1, 1, 1, 1]}
ROUTED, ALL = (lambda stage: slice(stage.shared, None)), (lambda stage: slice(None))
PIXELS = synthetic.pixels(3, 64, 1).float()

torch.set_num_threads(1)


def network():
    return synthetic.fill(moh_vit.MoHViT(CONFIG), 1).float().requires_grad_(False)


class Interventions(unittest.TestCase):
    def replaced(self, heads, by_mean, over=PIXELS):
        """Logits of a model whose heads' outputs are replaced, means being over the pictures `over`."""
        model = network()
        outputs = [interventions.Outputs(a) for a in interventions.attentions(model)]
        model(over)
        for o in outputs:
            o.replace(heads(o.stage), by_mean)
        return model(PIXELS)

    def near(self, got, wanted):
        self.assertLess(float((got - wanted).abs().max()), 1e-5)

    def test_all_heads_at_0_leave_the_bias_of_the_projection(self):
        model = network()
        for attention in interventions.attentions(model):
            attention.proj.weight.zero_()
        self.near(self.replaced(ALL, False), model(PIXELS))

    def test_routed_heads_at_0_are_gates_at_0(self):
        model = network()
        for attention in interventions.attentions(model):
            def without_routed(routing, shared=attention.stage.shared):
                gates = routing.gates.clone()
                gates[shared:] = 0
                return routing._replace(gates=gates)
            attention.router.register_forward_hook(lambda _m, _i, routing, change=without_routed: change(routing))
        wanted = model(PIXELS)
        self.near(self.replaced(ROUTED, False), wanted)
        self.assertGreater(float((wanted - network()(PIXELS)).abs().max()), 1e-3)

    def test_the_mean_over_one_picture_is_what_it_has(self):
        one = PIXELS[:1]
        self.near(self.replaced(ALL, True, over=one)[:1], network()(one))

    def test_means_leave_nothing_of_the_picture_in_a_block(self):
        model = network()
        outputs = [interventions.Outputs(a) for a in interventions.attentions(model)]
        into_projection = []
        for attention in interventions.attentions(model):
            attention.proj.register_forward_hook(lambda _, inputs, __: into_projection.append(inputs[0]))
        model(PIXELS)
        seen, into_projection[:] = list(into_projection), []
        for o in outputs:
            o.replace(slice(None), True)
        model(PIXELS)
        for o, before, after in zip(outputs, seen, into_projection):
            before, after = (x.view(o.tokens, len(PIXELS), -1) for x in (before, after))
            self.near(after, before.mean(1, keepdim=True).expand_as(after))

    def test_rows_begin_with_the_model_as_it_is_and_cover_each_kind_of_head(self):
        model = moh_vit.load(interventions.BUILT_IN).requires_grad_(False)
        rows = list(interventions.rows(model, *[
            interventions.fashion_mnist.load(part, 64, 20) for part in ("t10k", "train")]))
        self.assertEqual([r[0].split(",")[0] for r in rows], ["none"] + 2 * ["routed", "shared", "all"])
        self.assertGreaterEqual(rows[0][1], 80)
        self.assertEqual(rows[0][1], rows[0][2])

    def test_the_program_drops_what_is_replaced_by_0(self):
        count = 100
        pictures, _ = fashion_mnist.load("t10k", 64, count)
        for heads, chosen in (("routed", lambda _, stage: slice(stage.shared, None)),
                              ("shared", lambda _, stage: slice(stage.shared)),
                              ("4.0:r2,r3", lambda _, stage: slice(3, 5) if stage.number == 4 else slice(0)),
                              ("3", lambda _, stage: slice(None) if stage.number == 3 else slice(0)),
                              ("1.0:s1", lambda i, _: slice(0 if i else 1))):
            model = moh_vit.load(interventions.BUILT_IN).requires_grad_(False)
            outputs = [interventions.Outputs(a) for a in interventions.attentions(model)]
            own = model(fashion_mnist.pixels(pictures))
            for i, o in enumerate(outputs):
                o.replace(chosen(i, o.stage), False)
            wanted = model(fashion_mnist.pixels(pictures))
            with tempfile.TemporaryDirectory() as directory:
                path = f"{directory}/logits.safetensors"
                subprocess.run([PROGRAM, "eval", runs.TEST_SET, "--limit", str(count), "--precision", "f32", "--quiet",
                                "--drop-heads", heads, "--logits", path], stdout=subprocess.DEVNULL, check=True)
                got = torch.tensor([values.tolist() for *_, values in vectors.rows(path)])
            self.near(got / 100, wanted / 100)
            self.assertGreater(float((own - wanted).abs().max()), 0.1)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop()
    unittest.main()
