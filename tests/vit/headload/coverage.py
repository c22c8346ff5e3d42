#!/usr/bin/python3
"""How often the intervals of `headload export` hold what they should: coverage.py MOHVIT.

Pictures whose tokens are alike are made up, and classes drawn from them, each of 20 or 50 pictures, again and again. Of
the intervals that are called reliable, 93 to 97 % must hold the load, and the mean gate, of all pictures, in every range
of the load. NumPy computes each interval once more from the pictures themselves."""

import json
import subprocess
import sys
import tempfile

import numpy as np

TOKENS, HEADS, ROUTED = 36, 10, 4
POPULATIONS, PICTURES, DRAWS = 10, 3000, 300
STUDENT = {20: 2.093024054408, 50: 2.009575237129}  # as tables have it, for 19 and 49 degrees of freedom
RANGES = (0.05, 0.2, 0.8, 0.95)


def pictures(rng, spread, count=PICTURES):
    """Of a population: tokens that each head is selected by (pictures, heads), and the sums of its gates."""
    score = rng.normal(0, 1.3, HEADS) + rng.normal(0, spread, (count, 1, HEADS)) + rng.gumbel(
        size=(count, TOKENS, HEADS))
    chosen = score >= np.sort(score, axis=2)[:, :, [HEADS - ROUTED]]
    gate = np.where(chosen, np.exp(score), 0)
    gate *= ROUTED / gate.sum(axis=2, keepdims=True)
    return chosen.sum(axis=1), np.rint(gate.sum(axis=1) * 2**20).astype(np.int64)


def save(path, images, sums):
    """A head load of one block, as vit/headload/head_load.h says."""
    classes = len(images)
    shape = (classes, 1, HEADS)
    tensors = {"images": images, "tokens": (images * TOKENS).reshape(classes, 1), "active": sums["active"].reshape(shape),
               "gate_sum": sums["gate"].reshape(shape) / 2**20, "active_squares": sums["active_squares"].reshape(shape),
               "gate_squares": sums["gate_squares"].reshape(shape), "half_images": images * 0,
               "half_active": sums["active"].reshape(shape) * 0}
    layout = {"model": "made-up", "blocks": [{"name": "1.0", "stage": 1, "block": 0, "heads": HEADS, "shared": 0,
                                              "routed": ROUTED, "tokens": TOKENS}]}
    header, at = {"__metadata__": {"head_load": "1", "config": "{}", "routing": json.dumps(layout), "data": "[]",
                                   "class_names": json.dumps([f"class {c}" for c in range(classes)]),
                                   "provenance": "{}"}}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F64" if t.dtype == np.float64 else "I64", "shape": t.shape,
                        "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(t.tobytes() for t in tensors.values()))


def apart(mean, half, low, high, spread, spread_at):
    """How far intervals are from what they should be: each end the further one of Student's and of the one from which
    the mean is as far as the error there. Where nothing was counted, they say nothing."""
    known = (spread > 0) & (low > 0) & (high < 1)
    mean, half, low, high, spread = (x[known] for x in (mean, half, low, high, spread))
    worst = 0
    for end, side in ((low, -1), (high, 1)):
        student = mean + side * half
        score = np.abs(end - mean) - half * np.sqrt(spread_at(end) / spread)  # 0 at the score interval's end
        beyond = side * (end - student)
        worst = max(worst, np.abs(np.where(beyond > 1e-8, score, beyond)).max(), -score.min())
    return worst


def main():
    rng = np.random.default_rng(20)
    images, drawn, loads, gates = [], [], [], []
    for i in range(POPULATIONS):
        active, gate = pictures(rng, 0.25 + 0.1 * i)
        mean = (gate + 8 * TOKENS) // (16 * TOKENS)  # in units of 2^-16
        for n in STUDENT:
            for _ in range(DRAWS):
                chosen = rng.integers(0, PICTURES, n)  # with replacement: of so many as there may be
                a, g, m = active[chosen], gate[chosen], mean[chosen]
                drawn.append((a.sum(0), g.sum(0), (a * a).sum(0), (m * m).sum(0)))
                images.append(n)
                loads.append(active.mean(0) / TOKENS)
                gates.append(gate.mean(0) / TOKENS / 2**20)
    images = np.array(images)
    sums = {k: np.array([d[i] for d in drawn]) for i, k in enumerate(
        ("active", "gate", "active_squares", "gate_squares"))}
    with tempfile.TemporaryDirectory() as folder:
        save(folder + "/load.safetensors", images, sums)
        text = subprocess.run([sys.argv[1], "headload", "export", "--csv", folder + "/load.safetensors"], check=True,
                              stdout=subprocess.PIPE).stdout.decode()
    names = text[:text.index("\n")].split(",")
    table = np.array([line.split(",") for line in text.splitlines()[1:]])
    column = {name: table[:, i].reshape(len(images), HEADS) for i, name in enumerate(names)}
    low, high, load, gate = (column[k].astype(float) for k in ("load_low", "load_high", "load", "gate"))
    gate_low, gate_high = column["gate_low"].astype(float), column["gate_high"].astype(float)

    t = np.array([STUDENT[n] for n in images])[:, None]
    n = images[:, None]
    half, gate_half = (t * np.sqrt(np.maximum(squares / n - mean**2, 0) / (n - 1)) for squares, mean in (
        (sums["active_squares"] / TOKENS**2, sums["active"] / n / TOKENS),
        (sums["gate_squares"] / 2**32, sums["gate"] / n / TOKENS / 2**20)))
    off = [apart(load, half, low, high, load * (1 - load), lambda x: x * (1 - x)),
           apart(gate, gate_half, gate_low, gate_high, gate, lambda x: x)]
    print("from NumPy's intervals: load %.1e, gate %.1e" % tuple(off))
    failed = max(off) > 1e-8  # nine digits are printed

    holds = {"load": (np.array(loads), low, high, column["load_reliable"] == "1"),
             "gate": (np.array(gates), gate_low, gate_high, column["gate_reliable"] == "1")}
    for n in STUDENT:
        for least, most in zip(RANGES, RANGES[1:]):
            for what, (truth, a, b, reliable) in holds.items():
                asked = reliable & (images == n)[:, None] & (np.array(loads) >= least) & (np.array(loads) < most)
                share, count = ((a <= truth) & (truth <= b))[asked].mean(), asked.sum()
                print(f"{n} pictures, load {least} to {most}: {100 * share:.1f} % of {count} intervals hold the {what}")
                failed |= not (count >= 1000 and 0.93 <= share <= 0.97)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
