#!/usr/bin/python3
"""Do a routed head's load and mean gate tell what its absence costs? Correlations over the routed heads of each block,
from two files of the program:

    mohvit headload ablate DATA --format json > ablated.json
    mohvit headload count DATA -o load.safetensors && mohvit headload export load.safetensors --csv > load.csv
    tools/pytorch/importance.py ablated.json load.csv

What its absence costs is the rise of the loss. Loads and gates are means over classes. By ranks is Spearman's; the 95 %
interval is Fisher's, of heads, and takes more than three."""

import argparse
import csv
import json
import math
import statistics
import sys


def ranks(values):
    """1 for the smallest; equal values share the mean of theirs."""
    return [statistics.mean(i + 1 for i, other in enumerate(sorted(values)) if other == v) for v in values]


def correlation(x, y):
    """None where all are alike, since nothing then goes with anything."""
    return statistics.correlation(x, y) if len(set(x)) > 1 and len(set(y)) > 1 else None


def interval(r, count):
    """Of a correlation over so many heads; None where there is none."""
    if r is None or count <= 3 or abs(r) >= 1:
        return None
    reach = 1.959964 / math.sqrt(count - 3)
    return math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)


def measured(rows, measure):
    """The mean over classes for each (stage, block, head)."""
    values = {}
    for row in rows:
        values.setdefault(tuple(int(row[k]) for k in ("stage", "block", "head")), []).append(float(row[measure]))
    return {head: statistics.mean(of_class) for head, of_class in values.items()}


def relations(ablated, rows):
    """(block, heads, measure, correlation, its interval, correlation by ranks) for each block and measure."""
    blocks, means = {}, {measure: measured(rows, measure) for measure in ("load", "gate")}
    for row in ablated["ablated"]:
        if row["kind"] == "routed":
            name = f"{row['stage']}.{row['block']}"
            if (row["stage"], row["block"], row["head"]) not in means["load"]:
                sys.exit(f"importance: the head load has no head {row['head']} of block {name}: it is of another model")
            blocks.setdefault(name, []).append(row)
    if not blocks:
        sys.exit("importance: no routed head was left out by itself")
    for name, heads in blocks.items():
        y = [row["loss_change"] for row in heads]
        for measure, of_head in means.items():
            x = [of_head[row["stage"], row["block"], row["head"]] for row in heads]
            r = correlation(x, y)
            yield name, len(y), measure, r, interval(r, len(y)), correlation(ranks(x), ranks(y))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ablated", metavar="ABLATED.json", help="of headload ablate --format json")
    p.add_argument("load", metavar="LOAD.csv", help="of headload export --csv")
    args = p.parse_args()
    with open(args.ablated, encoding="utf-8") as a, open(args.load, encoding="utf-8") as l:
        ablated, rows = json.load(a), list(csv.DictReader(l))

    def shown(value):
        return "–" if value is None else f"{value:.2f}"

    print("| block | routed heads | with | correlation | 95 % interval | by ranks |")
    print("| --- | --- | --- | --- | --- | --- |")
    for block, count, measure, r, ends, by_ranks in relations(ablated, rows):
        print(f"| {block} | {count} | {measure} | {shown(r)} | {' to '.join(map(shown, ends)) if ends else '–'} | "
              f"{shown(by_ranks)} |")


if __name__ == "__main__":
    main()
