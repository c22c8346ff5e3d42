#!/usr/bin/python3
"""What `headload stats` puts down to chance, against shuffled labels: chance.py MOHVIT.

Pictures are made up, and classes drawn from them. The divergence and specificity that shuffling the labels makes, on
average over 1,000 times, are what is printed as `chance`. Of 200 head loads of shuffled labels at most 17 may name any
head class-specific; of 60 in which half of the classes load a head four standard errors more than the others, at least
48 must name it."""

import json
import subprocess
import sys
import tempfile

import numpy as np

from coverage import HEADS, ROUTED, TOKENS, pictures, save

CLASSES, IMAGES = 8, 25


def information(p):
    """Of distributions (…, n): their entropies in bits."""
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1)


def divergence_and_specificity(active, labels):
    loads = np.array([active[labels == c].mean(0) for c in range(CLASSES)]) / TOKENS
    p, of_class = loads / ROUTED, loads / loads.sum(0)
    return information(p.mean(0)) - information(p).mean(), 1 - information(of_class.T) / np.log2(CLASSES)


def main():
    rng = np.random.default_rng(4)
    sizes = rng.integers(4, 2 * IMAGES, CLASSES)
    labels = np.repeat(np.arange(CLASSES), sizes)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/load.safetensors"

        def stats(active, gate, of):
            mean = (gate + 8 * TOKENS) // (16 * TOKENS)
            sums = {name: np.array([values[of == c].sum(0) for c in range(CLASSES)]) for name, values in (
                ("active", active), ("gate", gate), ("active_squares", active**2), ("gate_squares", mean**2))}
            save(path, np.bincount(of, minlength=CLASSES), sums)
            text = subprocess.run([sys.argv[1], "headload", "stats", "--format", "json", path], check=True,
                                  stdout=subprocess.PIPE).stdout
            return json.loads(text)["blocks"][0]

        def named(block):
            return {h["head"] for h in block["specific_heads"] if h["class_specific"]}

        for spread in (0.3, 1):
            active, gate = pictures(rng, spread, len(labels))
            block = stats(active, gate, labels)
            shuffled = [divergence_and_specificity(active, rng.permutation(labels)) for _ in range(1000)]
            expected, heads = np.mean([s[0] for s in shuffled]), np.mean([s[1] for s in shuffled], axis=0)
            found = np.array([h["chance"] for h in sorted(block["specific_heads"], key=lambda h: h["head"])])
            found_divergence, _ = divergence_and_specificity(active, labels)
            off, heads_off = block["chance"] / expected - 1, np.abs(found / heads - 1).max()
            print(f"chance: divergence {100 * off:+.1f} % from shuffles', specificity within {100 * heads_off:.0f} %")
            failed |= abs(off) > 0.05 or heads_off > 0.2
            failed |= abs(block["divergence"] - found_divergence) > 1e-9
            failed |= abs(block["above_chance"] - (block["divergence"] - block["chance"])) > 1e-9  # nine digits are printed

        active, gate = pictures(rng, 0.6, len(labels))
        names = sum(1 for _ in range(200) if named(stats(active, gate, rng.permutation(labels))))
        print(f"{names} of 200 shuffles name a head")
        failed |= names > 17

        found, even = 0, np.repeat(np.arange(CLASSES), IMAGES)
        for _ in range(60):
            active, gate = pictures(rng, 0.6, len(even))
            order = np.argsort(active.mean(0))
            head, giver = order[HEADS // 2], order[-1]
            shift = 4 * active[:, head].std() / np.sqrt(IMAGES)
            more = np.floor(shift + rng.random(len(even))).astype(int) * (even % 2)
            more = np.minimum(more, np.minimum(TOKENS - active[:, head], active[:, giver]))
            active[:, head] += more
            active[:, giver] -= more  # a token selects as many heads as before
            found += head in named(stats(active, gate, even))
        print(f"{found} of 60 planted shifts are found")
        failed |= found < 48
    return 1 if failed else 0


sys.exit(main())
