#!/usr/bin/python3
"""From dense to MoH: the heads of a trained dense model get routers, and a short training lets accuracy recover.

    tools/pytorch/continue_tune.py --dense small/dense.0/model.safetensors --out small

trains a model of 75 % and one of 50 % of the heads for one epoch each, keeps their logs in tools/pytorch/runs, and
draws docs/continue_tune.svg from them. With logs in place it only draws. (The paper's figure 2.)
"""

import argparse
import os

import runs

FIGURE = f"{runs.HERE}/../../docs/continue_tune.svg"
MODELS = {"continue_75": ("75 % of the heads", runs.heads([1, 1, 2, 2], [2, 2, 4, 4])),
          "continue_50": ("50 % of the heads", runs.heads([1, 1, 2, 2], [1, 1, 2, 2]))}
# Many points, few images in the averaged weights: their memory has to be shorter than the training.
OPTIONS = ["--epochs", "1", "--lr", "5e-4", "--warm-up", "20", "--ema", "0.95", "--evaluate-every", "50",
           "--evaluate-first"]


def draw(path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mohvit"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    dense = runs.read_csv(runs.log_path("dense.0"))
    axes.axhline(float(dense[-1]["top1"]), color="gray", linestyle="--", label="the dense model")
    for name, (label, _) in MODELS.items():
        rows = runs.read_csv(runs.log_path(name))
        axes.plot([int(r["step"]) for r in rows], [float(r["top1"]) for r in rows], marker=".", label=label)
    axes.set(xlabel="steps of 64 pictures", ylabel="top-1 on the test pictures, %")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--dense", metavar="FILE.safetensors", help="the trained dense model")
    p.add_argument("--out", metavar="DIRECTORY", help="for models and checkpoints")
    args = p.parse_args()
    for name, (_, config) in MODELS.items():
        if not runs.is_finished(name):
            if not args.dense or not args.out:
                p.error(f"no log of {name}: --dense FILE and --out DIRECTORY")
            runs.train(name, config, args.out, "--from", args.dense, *OPTIONS)
    draw(os.path.normpath(FIGURE))


if __name__ == "__main__":
    main()
