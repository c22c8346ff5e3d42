#!/usr/bin/python3
"""PyTorch in float64 and the C program in float32 agree on random models: test_agreement.py MOHVIT [COUNT [FIRST]]

Each number is a model: sizes, heads, shared and routed heads, pools that do not divide, a position bias trained at
another size, dense ones. Logits have to agree to 2e-4, and every head count to the last token; inputs are drawn until,
in float64, no token's last picked head is closer than 1e-4 to the first that it left, so that rounding cannot decide."""

import json
import os
import random
import subprocess
import sys
import tempfile

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "pytorch"))

import moh_vit
import synthetic
import tensor_file

MARGIN = 1e-4
BATCH = 2


def random_config(rng):
    size = rng.choice([64, 64, 96, 128])
    sides = [size // 4, size // 8, size // 16, size // 32]
    published = rng.random() < 0.3  # heads as the published ones are: products of selected pairs alone
    heads = [rng.choice([4, 8]) if published else rng.randint(1, 6) for _ in sides]
    shared = [rng.choice([0, 1, rng.randint(0, h), h]) for h in heads]
    routed = [rng.randint(1, h - s) if s < h else 0 for h, s in zip(heads, shared)]
    config = {
        "embed_dims": [h * (24 if published else rng.randint(3, 12)) for h in heads],
        "num_heads": heads,
        "depths": [rng.randint(1, 3), 1, rng.randint(1, 3), rng.randint(1, 2)],
        "mlp_ratios": [rng.choice([1, 2.5, 4, 8]) for _ in sides],
        "sr_ratios": [rng.choice([1] + [r for r in (2, 3, 5, 7) if r <= side]) for side in sides[1:]],
        "shared_head": shared,
        "routed_head": routed,
        "num_classes": rng.randint(2, 30),
        "img_size": size,
    }
    config["sr_ratios"].insert(0, rng.choice([3, 5, 8]))  # global attention of all tokens of stage 1 would take long
    if rng.random() < 0.3:
        config["pretrain_size"] = rng.choice([64, 96, 224])
    pooled = [side for side, ratio in zip(sides, config["sr_ratios"]) if ratio > 1]
    if rng.random() < 0.3 and min(pooled) > 1:
        config["fixed_pool_size"] = rng.randint(1, min(pooled) - 1)
    if rng.random() < 0.15:
        config["dense"] = True
    return config


def margin(routings):
    """The least distance, in the router's logits, of a picked head from one that was not."""
    least = float("inf")
    for r in routings:
        if r.logits is None:
            continue
        k = int(r.selected[-len(r.logits):].sum(0).max())
        if k < len(r.logits):
            ranked = r.logits.sort(0, descending=True).values
            least = min(least, float((ranked[k - 1] - ranked[k]).min()))
    return least


def golden_tensors(config, logits, routings):
    """What the program's verify compares (spec 7)."""
    heads = max(config["num_heads"])
    tokens = torch.full((BATCH, len(routings), heads), -1, dtype=torch.int32)
    gates = torch.zeros(BATCH, len(routings), heads, dtype=torch.float32)
    for i, r in enumerate(routings):
        tokens[:, i, :len(r.gates)] = r.selected.sum(1).t().int()
        gates[:, i, :len(r.gates)] = r.gates.mean(1).t()
    tensors = {"logits": logits.float()}
    return tensors if config.get("dense") else {**tensors, "head_tokens": tokens, "head_gate_mean": gates}


def make_golden(number, path):
    rng = random.Random(number)
    config = random_config(rng)
    model = moh_vit.MoHViT(config)
    for draw in range(1000):
        seed = number * 1000 + draw
        synthetic.fill(model, seed)
        with torch.no_grad():
            logits, routings = model.routed(synthetic.pixels(BATCH, config["img_size"], seed).double())
        if margin(routings) >= MARGIN:
            break
    else:
        sys.exit(f"model {number}: no input with clear choices")
    metadata = {"config": json.dumps(config), "seed": str(seed), "batch": str(BATCH)}
    tensor_file.save(path, golden_tensors(config, logits, routings), metadata)
    return config


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: tests/pytorch/test_agreement.py MOHVIT [COUNT [FIRST]]")
    program, count, first = sys.argv[1:] + ["6", "0"][len(sys.argv) - 2:]
    count, first = int(count), int(first)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    failed, worst = 0, 0.0
    with tempfile.TemporaryDirectory() as directory:
        for number in range(first, first + count):
            path = f"{directory}/model{number}.safetensors"
            config = make_golden(number, path)
            result = subprocess.run([program, "verify", "--tolerance", "2e-4", "--threads", "1", "--format", "json", path],
                                    stdout=subprocess.PIPE)
            answer = json.loads(result.stdout)
            if result.returncode or not answer["passed"]:
                failed += 1
                print(f"model {number} FAILED: {json.dumps(config)}\n  {answer.get('error') or answer['compared']}")
            else:
                worst = max(worst, answer["compared"][0]["max_difference"])
            os.remove(path)
    print(f"{count - failed} of {count} models agree, logits to {worst:.1e}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
