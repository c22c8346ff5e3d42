#!/usr/bin/python3
"""Everything that a head load says, once more from its pictures: recompute.py MOHVIT.

`headload count --per-image` tells what each head did for each of 300 real pictures. NumPy adds that up to the head load's
own tensors, to the last bit, and works out what `headload export` and `headload stats` print, to 1e-9, from the
definitions in docs/head_load.md and in none of the program's ways. All of that once more with labels that mean nothing:
what is put down to chance, and the p of the analysis of variance, must be what shuffles make."""

import csv
import functools
import gzip
import json
import math
import subprocess
import sys
import tempfile

import numpy as np

from per_image import TYPES, read

IMAGES, SHUFFLES = 300, 1000
DATA = "/usr/share/datasets/fashion-mnist/t10k-{}-ubyte.gz"
TOLERANCE = 1e-9

failures = []


def check(what, found, expected):
    """Numbers, or arrays of numbers, of which None stands for none. Nine digits are printed."""
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))  # None becomes NaN
    digits = 10.0 ** np.floor(np.log10(np.maximum(np.abs(expected), 1e-300))) * 0.5e-8
    off = np.abs(found - expected) > np.maximum(TOLERANCE, digits)
    wrong = off | (np.isnan(found) != np.isnan(expected))
    if found.shape != expected.shape or wrong.any():
        failures.append(what)
        print(f"FAILED: {what}: {found[wrong][:3] if wrong.shape else found}, expected "
              f"{expected[wrong][:3] if wrong.shape else expected}")


def same(what, found, expected):
    if not np.array_equal(found, expected):
        failures.append(what)
        print(f"FAILED: {what}: {found}, expected {expected}")


def run(*words):
    done = subprocess.run([sys.argv[1], *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")
    return done.stdout.decode()


# ---- Distributions, by quadrature -------------------------------------------------------------------

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def beta_share(a, b, x):
    """The regularised incomplete beta function: the integral of t^(a-1) (1-t)^(b-1) from 0 to x, over the whole of it."""
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    total, steps = 0, 20
    for i in range(steps):
        low, high = x * i / steps, x * (i + 1) / steps
        t = (low + high) / 2 + NODES * (high - low) / 2
        total += (WEIGHTS * np.exp(logs + (a - 1) * np.log(t) + (b - 1) * np.log1p(-t))).sum() * (high - low) / 2
    return total


@functools.lru_cache(None)
def student(freedom):
    """The 97.5 % quantile, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(80):
        t = (low + high) / 2
        outside = beta_share(freedom / 2, 0.5, freedom / (freedom + t * t))  # both tails
        low, high = (t, high) if outside > 0.05 else (low, t)
    return low


# ---- Sums ------------------------------------------------------------------------------------------


def halves(active):
    """Which pictures are of the half that a hash chooses: FNV-1a of the counts, mixed."""
    with np.errstate(over="ignore"):
        h = np.full(len(active), 0xCBF29CE484222325, np.uint64)
        for column in active.reshape(len(active), -1).T:
            h = (h ^ column.astype(np.uint32).astype(np.uint64)) * np.uint64(0x100000001B3)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        return ((h ^ (h >> np.uint64(33))) & np.uint64(1)).astype(bool)


def add_up(pictures, classes, tokens):
    """A head load's tensors."""
    active, gate, of = pictures["active"].astype(np.int64), pictures["gate"], pictures["class"]
    there = active >= 0
    unit = tokens[None, :, None] << 4  # of an image's mean gate: 2^-16
    mean = np.where(there, (np.abs(gate) + unit // 2) // unit, 0)
    half = halves(active)
    sums = {"images": np.bincount(of, minlength=classes), "half_images": np.bincount(of[half], minlength=classes)}
    of_class = [of == c for c in range(classes)]
    absent = ~there[0]
    for name, values, chosen in (("active", active, None), ("gate", gate, None), ("active_squares", active**2, None),
                                 ("gate_squares", mean**2, None), ("half_active", active, half)):
        sums[name] = np.array([values[m if chosen is None else m & chosen].sum(0) for m in of_class])
        sums[name][:, absent] = -1 if name in ("active", "half_active") else 0
    sums["tokens"] = sums["images"][:, None] * tokens
    return sums


# ---- What is printed -------------------------------------------------------------------------------


def interval(mean, half, spread, most):
    """The further one of Student's and of the score interval, whose ends x solve (mean - x)^2 = half^2 V(x) / V(mean); V is
    x (1 - x) where most is 1, and x without it."""
    if not half > 0:
        return mean, mean
    k = half * half / spread
    roots = np.roots([1 + (k if most else 0), -2 * mean - k, mean * mean]).real
    low, high = min(mean - half, roots.min()), max(mean + half, roots.max())
    return max(low, 0), min(high, 1) if most else high


def decides(x):
    """Whether enough pictures decide."""
    return x.sum() ** 2 >= 10 * (x * x).sum() and x.sum() > 0


def expected_row(pictures, c, block, b, h):
    """Of a class, block and head, as export has it."""
    mine = pictures["class"] == c
    n, tokens, routed = mine.sum(), block["tokens"], range(block["shared"], block["heads"])
    active = pictures["active"][mine, b, :].astype(np.int64)
    gate = pictures["gate"][mine, b, : block["heads"]] / 2**20
    means = np.floor((pictures["gate"][mine, b, h] + 8 * tokens) / (16 * tokens)) / 2**16  # of the pictures, rounded
    row = {"tokens": n * tokens, "active": active[:, h].sum(), "images": n, "kind": "routed" if h in routed else "shared"}
    row["load"] = active[:, h].sum() / (n * tokens)
    row["share"] = active[:, h].sum() / active[:, routed].sum() if h in routed else None
    row["gate"] = gate[:, h].sum() / (n * tokens)
    row["gate_share"] = gate[:, h].sum() / gate.sum()
    t = student(n - 1)
    if h in routed and block["routed"] < len(routed):
        load, half = row["load"], t * active[:, h].std(ddof=1) / tokens / math.sqrt(n)
        row["load_low"], row["load_high"] = interval(load, half, load * (1 - load), 1)
        row["load_reliable"] = decides(active[:, h]) and decides(tokens - active[:, h])
    else:
        row["load_low"] = row["load_high"] = row["load_reliable"] = 1
    variance = max((means**2).sum() - n * row["gate"] ** 2, 0) / (n - 1)
    row["gate_low"], row["gate_high"] = interval(row["gate"], t * math.sqrt(variance / n), row["gate"], None)
    row["gate_reliable"] = (n * row["gate"]) ** 2 >= 10 * (means**2).sum() and row["gate"] > 0
    return row


def check_export(path, pictures, blocks, names):
    rows = json.loads(run("headload", "export", "--json", path))["rows"]
    same("rows of export", len(rows), len(names) * sum(block["heads"] for block in blocks))
    for row in rows:
        b = [(block["stage"], block["block"]) for block in blocks].index((row["stage"], row["block"]))
        where = f"export: class {row['class']}, block {blocks[b]['name']}, head {row['head']}"
        expected = expected_row(pictures, row["class"], blocks[b], b, row["head"])
        same(f"{where}: label", row["label"], names[row["class"]])
        for key, value in expected.items():
            (same if key == "kind" else check)(f"{where}: {key}", row[key], value)


def bits(p):
    """Entropy of distributions (…, n)."""
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1)


def pair_divergences(p):
    """Jensen-Shannon, of rows, with infinity in the diagonal."""
    d = bits((p[:, None] + p[None]) / 2) - (bits(p)[:, None] + bits(p)[None]) / 2
    np.fill_diagonal(d, np.inf)
    return d


def shares_of(active, of, classes):
    sums = np.array([active[of == c].sum(0) for c in range(classes)], np.float64)
    return sums / sums.sum(1, keepdims=True)


def variance_p(active, of):
    """Of one-way analysis of variance of a head's counts by their class."""
    groups = [active[of == c] for c in np.unique(of)]
    total, within = ((active - active.mean()) ** 2).sum(), sum(((g - g.mean()) ** 2).sum() for g in groups)
    f = (total - within) / (len(groups) - 1) / (within / (len(active) - len(groups)))
    low, high = len(groups) - 1, len(active) - len(groups)
    return beta_share(high / 2, low / 2, high / (high + low * f))


def expected_heads(active, of, p, block, share):
    """Specificity, chance and p of each routed head."""
    classes = len(p)
    spread = active.var(0, ddof=1) * (1 - 1 / classes) * np.mean(1 / np.bincount(of)) / active.mean(0) ** 2
    of_class = p / p.sum(0)
    return {"specificity": 1 - bits(of_class.T) / math.log2(classes), "load": p.max(0) * block["routed"],
            "load_mean": p.mean(0) * block["routed"], "class": p.argmax(0),
            "chance": spread / (2 * math.log(2)) / math.log2(classes),
            "p": np.array([variance_p(active[:, h], of) for h in range(active.shape[1])])}, (share * spread).sum() / (
                2 * math.log(2))


def check_block(found, block, active, gate, of, half, classes):
    """Returns the p of its heads."""
    where, shared = f"stats: block {block['name']}", block["shared"]
    tokens, candidates, routed = block["tokens"], block["heads"] - shared, block["routed"]
    p = shares_of(active[:, shared:], of, classes)
    loads, d = p.mean(0) * routed, pair_divergences(p)
    heads, chance = expected_heads(active[:, shared:], of, p, block, active[:, shared:].sum(0) / active[:, shared:].sum())
    numbers = {"load_balanced": routed / candidates, "load_min": loads.min(), "load_max": loads.max(),
               "load_cv": loads.std() / loads.mean(), "load_max_over_mean": loads.max() / loads.mean(),
               "entropy": bits(p.mean(0)), "entropy_max": math.log2(candidates), "entropy_of_class": bits(p).mean(),
               "divergence": bits(p.mean(0)) - bits(p).mean(), "chance": chance,
               "above_chance": bits(p.mean(0)) - bits(p).mean() - chance,
               "divergence_of_pair": d[np.triu_indices(classes, 1)].mean()}
    sums = np.array([gate[of == c].sum(0) for c in range(classes)], np.float64)
    part = sums / sums.sum(1, keepdims=True)
    numbers["gate_share_of_routed"] = part[:, shared:].sum(1).mean()
    for key, value in numbers.items():
        check(f"{where}: {key}", found[key], value)

    images = np.bincount(of, minlength=classes)[:, None]
    counts = np.array([active[of == c].sum(0) for c in range(classes)])
    for key, value in (("load", counts / images / tokens), ("gate", sums / images / tokens / 2**20), ("gate_share", part)):
        check(f"{where}: {key} of heads", [h[key] for h in found["means_of_heads"]], value.mean(0))
    dead = [h for h in range(shared, block["heads"]) if not counts[:, h].any()]
    same(f"{where}: dead", found["dead_heads"], dead)
    same(f"{where}: dead for", [(x["class"], x["head"]) for x in found["dead_for_classes"]],
         [(c, h) for h in range(shared, block["heads"]) if h not in dead for c in range(classes) if not counts[c, h]])

    listed = {h["head"]: h for h in found["specific_heads"]}
    same(f"{where}: heads", sorted(listed), [h for h in range(shared, block["heads"]) if h not in dead])
    same(f"{where}: order", list(listed), sorted(listed, key=lambda h: -listed[h]["specificity"]))
    for h, head in listed.items():
        for key, values in heads.items():
            check(f"{where}: {key} of head {h}", head[key], values[h - shared])

    pair = sorted(divmod(int(d.argmin()), classes))
    parts = [pair_divergences(shares_of(active[m][:, shared:], of[m], classes)) for m in (half, ~half)]
    agreed = all(sorted(divmod(int(x.argmin()), classes)) == pair for x in parts)
    found_pair = found["most_alike"] and [found["most_alike"]["a"], found["most_alike"]["b"]]
    same(f"{where}: most alike", found_pair, pair if agreed else None)
    np.fill_diagonal(d, -np.inf)
    check(f"{where}: least alike", found["least_alike"]["divergence"], d.max())
    np.fill_diagonal(d, np.inf)
    like = [(c, int(d[c].argmin()), d[c].min()) for c in range(classes) if all(x[c].argmin() == d[c].argmin() for x in parts)]
    check(f"{where}: like", [(x["class"], x["like"], x["divergence"]) for x in found["like"]], like)
    return {(block["name"], h): heads["p"][h - shared] for h in listed}


def check_shuffles(found, block, active, of, classes, rng):
    """Against labels without any meaning."""
    where, shared = f"shuffles: block {block['name']}", block["shared"]
    counts, images = active[:, shared:].astype(np.float64), np.bincount(of)[:, None]
    heads = sorted(found["specific_heads"], key=lambda h: h["head"])

    def between(labels):
        sums = np.eye(classes)[labels].T @ counts
        return sums, (sums**2 / images).sum(0)

    _, mine = between(of)
    divergences, specificities, further = [], [], np.zeros(counts.shape[1])
    for _ in range(SHUFFLES):
        sums, squares = between(rng.permutation(of))
        p = sums / sums.sum(1, keepdims=True)
        divergences.append(bits(p.mean(0)) - bits(p).mean())
        specificities.append(1 - bits((p / p.sum(0)).T) / math.log2(classes))
        further += squares >= mine
    off = found["chance"] / np.mean(divergences) - 1
    heads_off = np.abs(np.array([h["chance"] for h in heads]) / np.mean(specificities, 0) - 1).max()
    p_off = np.abs(further / SHUFFLES - np.array([h["p"] for h in heads])).max()
    print(f"{where}: divergence {100 * off:+.1f} %, specificity within {100 * heads_off:.0f} %, p within {p_off:.3f}")
    if abs(off) > 0.05 or heads_off > 0.2 or p_off > 0.06:  # four standard errors of a p of 1,000 shuffles
        failures.append(where)


def check_stats(path, pictures, blocks, classes, shuffled):
    found = json.loads(run("headload", "stats", "--format", "json", path))["blocks"]
    same("blocks of stats", len(found), len(blocks))
    of, half, p, rng = pictures["class"], halves(pictures["active"]), {}, np.random.default_rng(5)
    for b, block in enumerate(blocks):
        routes = 0 < block["routed"] < block["heads"] - block["shared"]
        same(f"block {block['name']} routes", found[b]["routes"], routes)
        if routes:
            active = pictures["active"][:, b, : block["heads"]].astype(np.int64)
            p |= check_block(found[b], block, active, pictures["gate"][:, b, : block["heads"]], of, half, classes)
            if shuffled:
                check_shuffles(found[b], block, active, of, classes, rng)

    ordered, least = sorted(p.values()), -1
    for i, value in enumerate(ordered, 1):  # Benjamini and Hochberg
        least = value if value <= 0.05 * i / len(ordered) else least
    for b, block in enumerate(blocks):
        for head in found[b].get("specific_heads", ()):
            same(f"class-specific: block {block['name']}, head {head['head']}", head["class_specific"],
                 bool(p[block["name"], head["head"]] <= least))


def check_labels(folder, labels, shuffled):
    data = "idx:" + DATA.format("images-idx3") + "," + labels
    load, per_image = folder + "/load", folder + "/pictures"
    run("headload", "count", data, "--sample", str(IMAGES), "-o", load, "--per-image", per_image, "--quiet")
    metadata, pictures = read(per_image)
    _, counted = read(load)
    blocks, names = json.loads(metadata["routing"])["blocks"], json.loads(metadata["class_names"])
    sums = add_up(pictures, len(names), pictures["tokens"])
    counted["gate"] = counted.pop("gate_sum") * 2**20
    together = counted.pop("together")  # which python_head_load works out from gates; here, its diagonals
    same("tokens of a head with itself", np.maximum(together.diagonal(axis1=1, axis2=2), 0),
         np.maximum(counted["active"], 0).sum(0))
    for name, values in counted.items():
        same(f"{name} of the head load", values, sums[name])
    check_export(load, pictures, blocks, names)
    check_stats(load, pictures, blocks, len(names), shuffled)
    check_top(folder, blocks, names)
    check_similarity(load, pictures, blocks, names)


def check_parts(folder, labels):
    """The file is the same over shards, threads and batches."""
    data, rows = "idx:" + DATA.format("images-idx3") + "," + labels, str(IMAGES)
    for i in (1, 2, 3):
        run("eval", data, "--sample", rows, "--per-image", f"{folder}/{i}", "--state", f"{folder}/{i}.state",
            "--shard", f"{i}/3", "--quiet", "--threads", "1", "--batch", str(i))
    run("merge", *(f"{folder}/{i}.state" for i in (3, 1, 2)), "--per-image", folder + "/merged", "--head-load",
        folder + "/merged-load")
    metadata, pictures = read(folder + "/pictures")
    same("pictures", len(pictures["class"]), IMAGES)
    same("index", (np.diff(pictures["index"]) > 0).all(), True)
    same("tokens", pictures["tokens"], [block["tokens"] for block in json.loads(metadata["routing"])["blocks"]])
    text, offsets = pictures["names"].tobytes().decode(), pictures["name_offsets"]
    same("names", [text[a:b] for a, b in zip(offsets, offsets[1:])],
         [f"{DATA.format('images-idx3')}#{i}" for i in pictures["index"]])
    merged, parts = read(folder + "/merged")[1], [read(f"{folder}/{i}")[1] for i in (1, 2, 3)]
    for name, values in pictures.items():
        same(f"{name} of merged states", merged[name], values)
        if name not in ("tokens", "name_offsets"):
            same(f"{name} of shards", np.concatenate([part[name] for part in parts]), values)
    load = read(folder + "/load")[1]
    for name, values in read(folder + "/merged-load")[1].items():
        same(f"{name} of the head load of merged states", values, load[name])


def check_similarity(load, pictures, blocks, names):
    """One minus the mean of the blocks' divergences; and the tree, by always merging the closest pair."""
    n = len(names)
    routed = [(b, block) for b, block in enumerate(blocks) if block["routed"] < block["heads"] - block["shared"]]
    divergences = [pair_divergences(shares_of(pictures["active"][:, b, block["shared"]:block["heads"]], pictures["class"],
                                              n)) for b, block in routed]
    for chosen, words in ((range(len(routed)), ()), ([1], ("--block", routed[1][1]["name"]))):
        d = np.mean([divergences[i] for i in chosen], axis=0)
        np.fill_diagonal(d, 0)
        found = json.loads(run("headload", "relate", load, "--format", "json", *words))
        order = found["classes"]
        same("classes in order", sorted(order), list(range(n)))
        same("their labels", found["labels"], [names[c] for c in order])
        same("their blocks", found["blocks"], [routed[i][1]["name"] for i in chosen])
        check("similarity", found["similarity"], 1 - d[np.ix_(order, order)])
        lines = [line.split(",") for line in run("headload", "relate", load, "--format", "csv", *words).splitlines()]
        same("classes of csv", [int(c) for c in lines[0][2:]], order)
        check("similarity of csv", np.array([line[2:] for line in lines[1:]], float), found["similarity"])

        apart = np.sqrt(np.maximum(d, 0))[np.ix_(order, order)]
        clusters, tree = {i: [i] for i in range(n)}, []
        for step in range(n - 1):
            pairs = [(apart[np.ix_(clusters[a], clusters[b])].mean(), a, b) for a in clusters for b in clusters if a < b]
            distance, a, b = min(pairs)
            clusters[n + step] = clusters.pop(a) + clusters.pop(b)
            tree.append((a, b, distance, len(clusters[n + step])))
            places = sorted(clusters[n + step])  # a cluster's leaves stand side by side
            same("leaves of a cluster", places, list(range(places[0], places[-1] + 1)))
        same("tree", [(a, b, size) for a, b, _, size in found["tree"]], [(a, b, size) for a, b, _, size in tree])
        off = np.abs(np.array(found["tree"])[:, 2] - np.array([t[2] for t in tree])).max()
        same("distances of the tree, in single precision", off < 1e-6, True)


def check_top(folder, blocks, names):
    """The pictures that use a head most, by tokens, and then by the lower hash."""
    _, pictures = read(folder + "/pictures")
    text, offsets = pictures["names"].tobytes().decode(), pictures["name_offsets"]
    hashes = pictures["xxh64"].view(np.uint64)
    same("a hash for each picture", len(set(hashes.tolist())), len(pictures["index"]))
    rows = json.loads(run("headload", "top", folder + "/pictures", "--format", "json", "--pictures", "30"))["rows"]
    expected = []
    for b, block in enumerate(blocks):
        for h in range(block["shared"], block["heads"]) if block["routed"] < block["heads"] - block["shared"] else ():
            active = pictures["active"][:, b, h]
            for rank, i in enumerate(np.lexsort((hashes, -active))[:30], 1):
                if active[i]:
                    expected.append({"stage": block["stage"], "block": block["block"], "head": h, "rank": rank,
                                     "active": int(active[i]), "index": int(pictures["index"][i]),
                                     "class": int(pictures["class"][i]), "label": names[pictures["class"][i]],
                                     "path": text[offsets[i]:offsets[i + 1]], "xxh64": f"{hashes[i]:016x}"})
    loads = [row.pop("load") * blocks[[(x["stage"], x["block"]) for x in blocks].index((row["stage"], row["block"]))][
        "tokens"] for row in rows]
    same("pictures that use heads most", rows, expected)
    check("their loads", loads, [row["active"] for row in expected])


def check_damage(folder):
    """Of a file that cannot be, the place is named."""
    with open(folder + "/pictures", "rb") as file:
        data = file.read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    _, pictures = read(folder + "/pictures")

    def refused(words, changed):
        with open(folder + "/damaged", "wb") as file:
            file.write(changed)
        done = subprocess.run([sys.argv[1], "headload", "top", folder + "/damaged"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        same(f"refused for {words}: {done.stderr.decode()}", (done.returncode, words in done.stderr.decode()), (1, True))

    whole = pictures["active"][0, 0]  # of the first block, whose tokens select one of three heads
    one, other = (int(h) for h in np.flatnonzero(whole[1:4])[:2] + 1)
    for name, row, value, words in (("class", 1, 10, "class: row 1 is 10 of 10 classes"),
                                    ("class", 0, -2, "class: row 0 is -2"),
                                    ("name_offsets", 0, 1, "name_offsets: begin at 1"),
                                    ("name_offsets", 3, 1 << 40, "name_offsets: row 2 ends at 1099511627776"),
                                    ("name_offsets", 3, 0, "name_offsets: row 2 ends at 0"),
                                    ("name_offsets", IMAGES, len(pictures["names"]) - 1, f"name_offsets: row {IMAGES - 1} ends at "),
                                    ("names", 1, 0, "names: row 0 has a zero byte"),
                                    ("index", 0, -1, "index: row 0 is -1"),
                                    ("index", 1, pictures["index"][0], f"index: row 1 is {pictures['index'][0]}; expected rising"),
                                    ("tokens", 2, 17, "tokens: block 3.0 has 17, expected 16"),
                                    ("active", 0, 255, "active: row 0, block 1.0, head 0: 255 of 256 tokens"),
                                    ("active", one, whole[one] + 1, "block 1.0: 257 selections of routed heads, expected 1 for each of 256"),
                                    ("active", other, -1, f"block 1.0, head {other}: -1 of 256 tokens"),
                                    ("active", 0, 65536, "active: row 0, block 1.0, head 0: 65536 of 256 tokens"),
                                    ("active", 4, 3, "active: row 0, block 1.0, head 4: 3 of 0 tokens")):
        dtype = TYPES[header[name]["dtype"]]
        at = start + header[name]["data_offsets"][0] + row * np.dtype(dtype).itemsize
        refused(words, data[:at] + dtype(value).tobytes() + data[at + np.dtype(dtype).itemsize:])
    refused("active: found nothing", data.replace(b'"active"', b'"uctive"'))
    refused("tokens: found nothing", data.replace(b'"tokens":{', b'"tukens":{'))
    refused("expected version 1", data.replace(b'"per-image":"1"', b'"per-image":"2"'))
    with open(folder + "/load", "rb") as file:
        refused('that "headload count --per-image" writes, found none', file.read())


def check_predicted(folder):
    """A picture without a class is of the one that it counts for, or of none."""
    data = "idx:" + DATA.format("images-idx3")
    run("headload", "count", data, "--limit", "200", "-o", folder + "/load", "--per-image", folder + "/pictures",
        "--by-prediction", "--quiet", "--state", folder + "/predicted.state")
    run("merge", folder + "/predicted.state", "--predictions", folder + "/predictions.csv")
    with open(folder + "/predictions.csv", encoding="utf-8", newline="") as file:
        predicted = [int(row["top1"]) for row in csv.DictReader(file)]
    metadata, pictures = read(folder + "/pictures")
    same("predicted classes", pictures["class"], predicted)
    same("counted_by", metadata["counted_by"], "label, else prediction")


def main():
    labels = DATA.format("labels-idx1")
    with tempfile.TemporaryDirectory() as folder:
        check_labels(folder, labels, False)
        check_parts(folder, labels)
        check_damage(folder)
        check_predicted(folder)
        with gzip.open(labels) as file:
            head, of = file.read(8), np.frombuffer(file.read(), np.uint8)
        with open(folder + "/labels", "wb") as file:
            file.write(head + np.random.default_rng(7).permutation(of).tobytes())
        check_labels(folder, folder + "/labels", True)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
