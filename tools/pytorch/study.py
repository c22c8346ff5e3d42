#!/usr/bin/python3
"""The study of docs/study.md: at this size, is there a task for which attention, and so its heads, matter?

    tools/pytorch/study.py --out study                            trains what the entry gate has no log of
    tools/pytorch/study.py --out study --task cue                 of one task
    tools/pytorch/study.py --out study --run gate.cue.dense       one run
    tools/pytorch/study.py --out study --run after.twin.dense.rate_1e-3    a full run at a rate that the gate did not choose
    tools/pytorch/study.py --table                                prints the table from the logs, and trains nothing

The gate ends with the first task that passes. Logs are kept in tools/pytorch/runs. A run is one process of one thread;
stopped at any moment, the same command goes on. Each is made from its seed alone, so that any can be made again: remove
its log, and name it with --run.
"""

import argparse
import concurrent.futures
import sys

import runs

CONFIG = {"embed_dims": [16, 32, 64, 80], "num_heads": [4, 4, 8, 8], "depths": [1, 1, 2, 1], "mlp_ratios": [3, 3, 3, 3],
          "sr_ratios": [4, 2, 1, 1], "num_classes": 8, "img_size": 64, "dense": True}
TASKS = {"cue": ["--task", "cue"], "twin": ["--task", "twin"],
         "cue_centre": ["--task", "cue", "--centre-only"], "twin_centre": ["--task", "twin", "--centre-only"]}
WHOLE = ["cue", "twin"]
ARMS = {"dense": ["--block", "attention"], "uniform": ["--block", "uniform"], "none": ["--block", "none"]}
RATES = ["1e-3", "2e-3", "4e-3"]
PICTURES = 204800  # a fifth of them to choose the rate
AFTER = [("twin", "dense", "1e-3"), ("twin", "uniform", "1e-3")]  # full runs that the gate's rule did not choose
COMMON = ["--processes", "1", "--seed", "0", "--batch", "32", "--warm-up", "200", "--evaluate-every", "320",
          "--test-images", "2000"]

PASS, LEAD = 75, 20  # what dense has to reach, and by how much to lead both controls, in points
CEILINGS = {"cue": 33.3, "twin": 25}  # of a model that compares nothing (scenes.py)
LEARNT = 10  # a task is learnt by an arm that has so many points more
RISE = 2  # a curve that gained more points than this in the last fifth of the pictures still rises


# ---- Runs ----------------------------------------------------------------------------------------------------------


def trial(task, arm, rate):
    return f"gate.{task}.{arm}.rate_{rate}"


def final(task, arm):
    return f"gate.{task}.{arm}"


def after(task, arm, rate):
    return f"after.{task}.{arm}.rate_{rate}"


def last_row(name):
    rows = runs.read_csv(runs.log_path(name))
    return rows[-1] if rows else None


def best_rate(task, arm):
    """The rate of the best trial, ties to the smaller loss; None where a trial is missing."""
    rows = {rate: last_row(trial(task, arm, rate)) for rate in RATES}
    if not all(rows.values()):
        return None
    return max(RATES, key=lambda rate: (float(rows[rate]["top1"]), -float(rows[rate]["loss"])))


def make(name, out):
    """Trains a run, unless its log is there."""
    kind, task, arm, *rest = name.split(".")
    rate = rest[0].replace("rate_", "") if rest else best_rate(task, arm)
    if rate is None:
        sys.exit(f"{name}: its rate is that of the best trial, and not all of those have a log")
    if rest and kind == "gate":
        options = ["--pictures", str(PICTURES // 5)]
    else:
        options = ["--pictures", str(PICTURES), "--score-test", "20000"]
    if not runs.is_finished(name):
        runs.train(name, CONFIG, out, *TASKS[task], *ARMS[arm], *COMMON, "--lr", rate, *options)


def make_task(task, out, jobs):
    trials = [trial(task, arm, rate) for arm in ARMS for rate in RATES]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda name: make(name, out), trials))
        list(pool.map(lambda name: make(name, out), [final(task, arm) for arm in ARMS]))


def make_gate(out, jobs):
    """The tasks in their order, until one passes; last the nearest to passing with centre taps alone."""
    for task in WHOLE:
        make_task(task, out, jobs)
        if margin(task) >= 0:
            return
    make_task(max(WHOLE, key=margin) + "_centre", out, jobs)


# ---- The table -----------------------------------------------------------------------------------------------------


def rise(name):
    """Points of validation accuracy gained in the last fifth of the pictures."""
    rows = runs.read_csv(runs.log_path(name))
    before = [r for r in rows if int(r["pictures"]) <= 0.8 * int(rows[-1]["pictures"])]
    return float(rows[-1]["top1"]) - float(before[-1]["top1"])


def lead(task):
    """Dense's top-1, and its lead over the better control; None where a run is missing."""
    rows = {arm: last_row(final(task, arm)) for arm in ARMS}
    if not all(rows.values()):
        return None
    dense, *controls = (float(row["test_top1"]) for row in rows.values())
    return dense, dense - max(controls)


def margin(task):
    """By how many points a task passes; below 0 where it does not."""
    dense, ahead = lead(task)
    return min(dense - PASS, ahead - LEAD)


def verdict(task):
    if margin(task) >= 0:
        return f"passes: dense leads by {lead(task)[1]:.1f} points"
    if all(float(last_row(final(task, arm))["test_top1"]) < CEILINGS[task.split("_")[0]] + LEARNT for arm in ARMS):
        return "was learnt by no arm"
    state = "still rises" if rise(final(task, "dense")) > RISE else "is flat"
    return f"does not pass: dense leads by {lead(task)[1]:.1f} points; its curve {state}"


def results(name, rate):
    """Columns of a full run."""
    row = last_row(name)
    return f"{rate} | {float(row['top1']):.1f} | {rise(name):+.1f} | {float(row['test_top1']):.1f}"


def table():
    print(f"| task | arm | trials at {', '.join(RATES)} | rate | validation | gained in the last fifth | test scenes | "
          "processor minutes |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for task in TASKS:
        for arm in ARMS:
            trials, row = [last_row(trial(task, arm, rate)) for rate in RATES], last_row(final(task, arm))
            if not any(trials):
                continue
            rates = ", ".join(f"{float(t['top1']):.1f}" if t else "–" for t in trials)
            seconds = sum(int(r["cpu_seconds"]) for r in [*trials, row] if r)
            of_run = results(final(task, arm), best_rate(task, arm)) if row else "– | – | – | –"
            print(f"| `{task}` | {arm} | {rates} | {of_run} | {seconds / 60:.1f} |")
    for task, arm, rate in AFTER:
        name = after(task, arm, rate)
        if last_row(name):
            print(f"| `{task}`, after the fact | {arm} | | {results(name, rate)} | {int(last_row(name)['cpu_seconds']) / 60:.1f} |")
    for task in TASKS:
        if lead(task):
            print(f"\n`{task}` {verdict(task)}.")


def draw(path):
    """Validation top-1 along the full runs, a panel for each task."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "mohvit", "font.size": 9})
    import matplotlib.pyplot as plt

    tasks = [task for task in TASKS if lead(task)]
    figure, panels = plt.subplots(1, len(tasks), figsize=(3.2 * len(tasks), 2.6), sharey=True, squeeze=False,
                                  layout="constrained")
    for task, panel in zip(tasks, panels[0]):
        for arm, colour, style in zip(ARMS, ("#0072b2", "#d55e00", "#009e73"), ("-", "--", ":")):
            rows = runs.read_csv(runs.log_path(final(task, arm)))
            panel.plot([int(r["pictures"]) / 1000 for r in rows], [float(r["top1"]) for r in rows], style, color=colour,
                       label=arm)
        for height, what in ((CEILINGS[task.split("_")[0]], "most that comparing nothing gives"), (PASS, "asked of dense")):
            panel.axhline(height, color="0.5", linewidth=0.8)
            panel.text(PICTURES / 1000, height + 4.5, what, color="0.4", fontsize=8, horizontalalignment="right",
                       verticalalignment="bottom")
        panel.set(title=task.replace("_centre", ", centre taps alone"), xlabel="scenes seen, thousands",
                  xlim=(0, PICTURES / 1000), ylim=(0, 84))
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    panels[0][0].set_ylabel("top-1 on validation, %")
    panels[0][-1].legend(frameon=False, loc=(0.6, 0.55))
    figure.savefig(path, metadata={"Date": None})


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--out", metavar="DIRECTORY", help="for models and checkpoints")
    p.add_argument("--task", choices=TASKS, action="append", help="one task alone; may be given again")
    p.add_argument("--run", metavar="NAME", help="one run, as gate.cue.dense or gate.cue.dense.rate_1e-3")
    p.add_argument("--jobs", type=int, default=2, help="processes at once; default: %(default)s")
    p.add_argument("--table", action="store_true", help="print what is there")
    p.add_argument("--figure", metavar="FILE.svg", help="draw what is there")
    args = p.parse_args()
    if args.table:
        return table()
    if args.figure:
        return draw(args.figure)
    if not args.out:
        p.error("--out DIRECTORY, --table or --figure FILE.svg")
    if args.run:
        return make(args.run, args.out)
    for task in args.task or []:
        make_task(task, args.out, args.jobs)
    if not args.task:
        make_gate(args.out, args.jobs)
    table()


if __name__ == "__main__":
    main()
