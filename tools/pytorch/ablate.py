#!/usr/bin/python3
"""The claim of the MoH paper, in small, on real data: dense against MoH at 75 and 50 % of the heads, and its ablations.

    tools/pytorch/ablate.py --mohvit build/release/mohvit --out small

trains what tools/pytorch/runs has no log of, scores each with the C program on the 10,000 test pictures, and prints
the table of runs/results.csv. Stopped at any moment, it goes on. --table prints what is there and trains nothing.
"""

import argparse
import statistics
import sys

import runs

CLAIM = {  # of each stage: shared heads, routed heads that a token picks; options of train.py
    "dense": ({**runs.SMALL, "dense": True}, []),
    "moh_75": (runs.heads([1, 1, 2, 2], [2, 2, 4, 4]), []),
    "moh_50": (runs.heads([1, 1, 2, 2], [1, 1, 2, 2]), []),
}
ABLATIONS = {
    "moh_75_shared_none": (runs.heads([0, 0, 0, 0], [3, 3, 6, 6]), []),
    "moh_75_shared_two_thirds": (runs.heads([2, 2, 4, 4], [1, 1, 2, 2]), []),
    "moh_75_one_stage": (runs.heads([1, 1, 2, 2], [2, 2, 4, 4]), ["--one-stage"]),
}
VARIANTS = {**CLAIM, **ABLATIONS}
SEEDS = 3
EPOCHS = "3"
RESULTS = f"{runs.LOGS}/results.csv"


def score(program, variant, seed, model):
    """One row of the results, measured with the C program."""
    print(f"== scoring {variant}, seed {seed}", flush=True)
    info = runs.ask(program, "info", "--weights", model)
    accuracy = runs.ask(program, "eval", "--weights", model, runs.TEST_SET)
    bench = runs.ask(program, "bench", "--weights", model, "--threads", "1", "--iters", "201")
    return {"variant": variant, "seed": seed, "parameters": info["parameters"],
            "active_heads_percent": round(accuracy["provenance"]["active_heads_percent"], 1),
            "top1": accuracy["top1"], "latency_ms": bench["latency_ms_min"]}


def one_stage_model(model):
    """The C program has no switch for the ablation: equal rows of wg_0 say the same, (1, 1)."""
    import tensor_file

    tensors, metadata = tensor_file.load(model)
    for name, value in tensors.items():
        if name.endswith("wg_0.weight"):
            value.zero_()
    path = model.replace("model.safetensors", "model_one_stage.safetensors")
    tensor_file.save(path, tensors, metadata)
    return path


def table():
    rows = runs.read_csv(RESULTS)
    if not rows:
        sys.exit(f"{RESULTS}: no results yet; --out DIRECTORY trains and scores what is missing")
    print("| model | runs | parameters | active heads | top-1 (mean ± standard deviation) | fastest of 201 images, one thread |")
    print("| --- | --- | --- | --- | --- | --- |")
    for variant in VARIANTS:
        of_it = [r for r in rows if r["variant"] == variant]
        if not of_it:
            continue
        top1 = [float(r["top1"]) for r in of_it]
        spread = f" ± {statistics.stdev(top1):.2f}" if len(top1) > 1 else ""
        print(f"| `{variant}` | {len(of_it)} | {int(of_it[0]['parameters']):,} | {of_it[0]['active_heads_percent']} % | "
              f"{statistics.mean(top1):.2f}{spread} | {min(float(r['latency_ms']) for r in of_it):.3f} ms |")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--mohvit", default="build/release/mohvit", metavar="PROGRAM")
    p.add_argument("--out", metavar="DIRECTORY", help="for models and checkpoints")
    p.add_argument("--table", action="store_true", help="print what is there")
    args = p.parse_args()
    if not args.table and not args.out:
        p.error("--out DIRECTORY, or --table")

    wanted = [(seed, variant) for part in (CLAIM, ABLATIONS) for seed in range(SEEDS) for variant in part]
    for seed, variant in wanted if not args.table else []:
        config, options = VARIANTS[variant]
        rows = runs.read_csv(RESULTS)
        if any(r["variant"] == variant and r["seed"] == str(seed) for r in rows):
            continue
        model = runs.train(f"{variant}.{seed}", config, args.out, "--epochs", EPOCHS, "--seed", str(seed), *options)
        if "--one-stage" in options:
            model = one_stage_model(model)
        runs.write_csv(RESULTS, rows + [score(args.mohvit, variant, seed, model)])
    table()


if __name__ == "__main__":
    main()
