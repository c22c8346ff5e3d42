#!/usr/bin/python3
"""What a trained model's answers owe to its heads: top-1 on Fashion-MNIST's test pictures, without training anew, once
the outputs of heads are

    0            as if the gate was 0
    their mean   over the pictures, for each head, token and channel: nothing of the picture at hand is left

    tools/pytorch/interventions.py                                        the built-in model, in float32
    tools/pytorch/interventions.py --model nano/model.safetensors         one of train.py

Heads are those of all blocks, or of all blocks but the last; means are of --mean-images of the training pictures."""

import argparse
import os

import torch

import fashion_mnist
import moh_vit

BUILT_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "weights", "moh_vit_nano.safetensors")
BATCH = 100


def attentions(model):
    return [block.attn for s in model.stages for block in getattr(model, f"block{s.number}")]


class Outputs:
    """Of a block's heads, each weighted by its gate: seen, or replaced, where they enter the projection."""

    def __init__(self, attention):
        self.stage, self.tokens = attention.stage, attention.stage.side ** 2
        self.sum, self.images, self.replaced, self.value = 0, 0, None, None
        attention.proj.register_forward_pre_hook(self.pass_through)

    def pass_through(self, _, inputs):  # (N B, C)
        outputs = inputs[0].view(self.tokens, -1, self.stage.heads, self.stage.channels // self.stage.heads)
        if self.replaced is None:
            self.sum, self.images = self.sum + outputs.sum(1, keepdim=True), self.images + outputs.shape[1]
            return inputs
        outputs = outputs.clone()
        outputs[:, :, self.replaced] = self.value[:, :, self.replaced]
        return (outputs.view_as(inputs[0]),)

    def replace(self, heads, by_mean):
        """heads: a slice, of which the outputs are replaced in what follows."""
        mean = self.sum / self.images  # (N, 1, h, d)
        self.replaced, self.value = heads, mean if by_mean else torch.zeros_like(mean)


def top1(model, pictures, classes):
    right = 0
    for i in range(0, len(pictures), BATCH):
        logits = model(fashion_mnist.pixels(pictures[i:i + BATCH]))
        right += int((logits.argmax(1) == classes[i:i + BATCH]).sum())
    return 100 * right / len(pictures)


def rows(model, test, mean_pictures):
    """(which heads, top-1 with their outputs 0, with their means) in percent; the first has the model's own."""
    own = top1(model, *test)
    outputs = [Outputs(a) for a in attentions(model)]
    top1(model, *mean_pictures)
    yield "none", own, own

    def shared(stage):
        return stage.shared if stage.routed else stage.heads

    kinds = {"routed": lambda stage: slice(shared(stage), None), "shared": lambda stage: slice(shared(stage)),
             "all": lambda stage: slice(None)}
    for blocks, where in ((len(outputs), "every block"), (len(outputs) - 1, "every block but the last")):
        for kind, heads in kinds.items():
            scores = []
            for by_mean in (False, True):
                for i, o in enumerate(outputs):
                    o.replace(heads(o.stage) if i < blocks else slice(0), by_mean)
                scores.append(top1(model, *test))
            yield f"{kind}, of {where}", *scores


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUILT_IN, metavar="FILE.safetensors", help="with its config; default: the built-in")
    parser.add_argument("--images", type=int, default=10000, metavar="N", help="test pictures, from the first; default 10000")
    parser.add_argument("--mean-images", type=int, default=2000, metavar="N", help="of the training pictures; default 2000")
    args = parser.parse_args()
    model = moh_vit.load(args.model).requires_grad_(False)
    side = model.stages[0].side * 4
    print("| heads | outputs 0 | outputs their mean |")
    print("| --- | --- | --- |")
    for heads, zero, mean in rows(model, fashion_mnist.load("t10k", side, args.images),
                                  fashion_mnist.load("train", side, args.mean_images)):
        print(f"| {heads} | {zero:.2f} % | {mean:.2f} % |", flush=True)


if __name__ == "__main__":
    main()
