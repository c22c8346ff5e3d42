#!/usr/bin/python3
"""PyTorch and the C program say the same of 99.9 % of Fashion-MNIST's test pictures, each from the packed data set to
the class, with the model that is built in: test_predictions.py MOHVIT WEIGHTS"""

import csv
import json
import os
import subprocess
import sys
import tempfile

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "pytorch"))

import fashion_mnist
import moh_vit
import runs
import tensor_file


def pytorch_predictions(weights):
    _, metadata = tensor_file.load(weights)
    assert json.loads(metadata["preprocess"]) == fashion_mnist.PREPROCESS, metadata["preprocess"]
    model = moh_vit.load(weights)
    pictures, classes = fashion_mnist.load("t10k", json.loads(metadata["config"])["img_size"])
    with torch.no_grad():
        logits = torch.cat([model(fashion_mnist.pixels(pictures[first:first + 100]))
                            for first in range(0, len(pictures), 100)])
    return logits.argmax(1), classes


def program_predictions(program, weights):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/predictions.csv"
        subprocess.run([program, "eval", "--weights", weights, "--precision", "f32", "--predictions", path, runs.TEST_SET],
                       stdout=subprocess.DEVNULL, check=True)
        with open(path) as f:
            return list(csv.DictReader(f))


torch.set_num_threads(1)
program, weights = sys.argv[1:]
ours, classes = pytorch_predictions(weights)
theirs = program_predictions(program, weights)
assert [int(row["class"]) for row in theirs] == classes.tolist()
same = sum(int(row["top1"]) == int(k) for row, k in zip(theirs, ours))
right = float((ours == classes).double().mean())
print(f"{same} of {len(classes)} predictions are the same; top-1 in PyTorch {100 * right:.2f} %")
sys.exit(same < 0.999 * len(classes) or len(classes) != 10000)
