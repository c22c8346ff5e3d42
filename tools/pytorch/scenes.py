#!/usr/bin/python3
"""Scenes of Fashion-MNIST items, 64x64 in colour, whose answer takes a comparison of places that lie apart.

    tools/pytorch/scenes.py twin --out scenes
    mohvit eval idx:scenes/twin-images-idx4-ubyte.gz,scenes/twin-labels-idx1-ubyte.gz --weights MODEL

cue    Four items of different classes, one in each quadrant, each with a coloured bar beside it. A ring of the colour
       of one bar lies in another quadrant. The answer is the class of the item that has that bar.
       Ignoring the ring gives at most 1/4; knowing where it lies, but not its colour, at most 1/3.
twin   Eight items in a jittered 4x4 grid, each with a coloured bar beside it: four pictures, large along one side of
       the grid and small in the two rows or columns farthest from it, or the other way round. One item has a white frame. The answer is the colour
       of the bar beside its twin, which is the same picture at the other scale, at least two cells away.
       Ignoring the frame gives at most 1/8; knowing the scale and place of the framed item, but not what it shows, 1/4.

Those scenes are scored. A scene to train on shows one to four of the four items, or pairs, so that what the answer is
can be learnt before how to find it.

A scene is a function of (task, part, seed, index). The parts share no item: training takes the first 50,000 training
pictures of Fashion-MNIST, validation the other 10,000, test the test pictures. Shirts and coats are left out: telling
them from pullovers is a task of its own.
"""

import argparse
import gzip
import hashlib
import os
import struct

import numpy as np
import torch

import tensor_file

DIRECTORY = "/usr/share/datasets/fashion-mnist"
SIZE = 64
PARTS = {"train": ("train", slice(0, 50000)), "validation": ("train", slice(50000, None)),
         "test": ("t10k", slice(None))}
SEEDS = {"validation": 0, "test": 0}  # of the parts that are fixed
TEST_SCENES = 20000
CLASSES = [0, 1, 2, 3, 5, 7, 8, 9]  # of Fashion-MNIST
CLASS_NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Sandal", "Sneaker", "Bag", "Ankle boot"]
COLOURS = np.array([[255, 0, 0], [255, 191, 0], [128, 255, 0], [0, 255, 64], [0, 255, 255], [0, 64, 255], [128, 0, 255],
                    [255, 0, 191]], np.uint8)
PREPROCESS = {"crop_pct": 1.0, "mean": [0.1] * 3, "std": [0.25] * 3, "interpolation": "bicubic"}
COLOUR_NAMES = ["red", "amber", "lime", "green", "cyan", "blue", "violet", "pink"]


# ---- Random numbers that depend on nothing but their place ---------------------------------------------------------


def mix(z):
    """The finaliser of SplitMix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Draws:
    """Uniform numbers for scenes (B): the same for an index whatever else is in the batch. Each call takes new ones."""

    def __init__(self, name, indices):
        key = np.frombuffer(hashlib.sha256(name.encode()).digest()[:8], "<u8")[0]
        self.state = mix(mix(np.asarray(indices, np.uint64)) ^ key)
        self.taken = 0

    def fractions(self, count):
        """(B, count) in [0, 1)."""
        places = np.arange(self.taken + 1, self.taken + count + 1, dtype=np.uint64)
        self.taken += count
        z = mix(self.state[:, None] + places * np.uint64(0x9E3779B97F4A7C15))
        return (z >> np.uint64(11)) * 2.0 ** -53

    def integers(self, count, below):
        """(B, count) in 0 … below - 1; below is a number, or one for each place."""
        return (self.fractions(count) * below).astype(np.int64)

    def orders(self, count):
        """(B, count): a permutation for each scene."""
        return self.fractions(count).argsort(1, kind="stable")


# ---- Items ---------------------------------------------------------------------------------------------------------


def shrink(pictures, size):
    """(n, 28, 28) -> (n, size, size), each pixel the mean of the area that it covers. Exact: sums are whole numbers."""
    side = pictures.shape[1]
    i, j = np.arange(size)[:, None], np.arange(side)[None]
    overlap = np.minimum((i + 1) * side, (j + 1) * size) - np.maximum(i * side, j * size)
    overlap = overlap.clip(min=0).astype(np.float32)
    sums = (overlap @ pictures.astype(np.float32) @ overlap.T).astype(np.int64)
    return ((2 * sums + side ** 2) // (2 * side ** 2)).astype(np.uint8)


class Items:
    """The pictures of one part at some sizes, sorted by class."""

    def __init__(self, part, sizes):
        name, chosen = PARTS[part]
        classes = tensor_file.load_idx(f"{DIRECTORY}/{name}-labels-idx1-ubyte.gz")[chosen]
        pictures = tensor_file.load_idx(f"{DIRECTORY}/{name}-images-idx3-ubyte.gz")[chosen]
        of_class = [np.flatnonzero(classes == c) for c in CLASSES]
        self.count = np.array([len(m) for m in of_class])  # of each class
        self.first = np.cumsum(self.count) - self.count
        self.order = np.concatenate(of_class)  # which of the part's pictures each is
        self.at = {size: shrink(pictures[self.order], size) for size in sizes}

    def draw(self, classes, fractions):
        """An item of each class, both (B, k)."""
        return self.first[classes] + (fractions * self.count[classes]).astype(np.int64)


# ---- Drawing -------------------------------------------------------------------------------------------------------


def put(canvas, what, top, left):
    """Draws what (B, k, h, w) or (B, k, h, w, 3) on the canvas (B, S, S) or (B, S, S, 3) at top, left (B, k)."""
    height, width = what.shape[2:4]
    scene = np.arange(len(canvas))[:, None, None, None]
    canvas[scene, top[:, :, None, None] + np.arange(height)[:, None], left[:, :, None, None] + np.arange(width)] = what


def put_bars(canvas, colours, shown, top, left, height, width):
    """Full rectangles of colours (B, k), black where not shown."""
    what = COLOURS[colours] * shown[..., None]
    put(canvas, np.broadcast_to(what[:, :, None, None], (*colours.shape, height, width, 3)), top, left)


def put_ring(canvas, colour, top, left, side, thickness):
    """A square ring in each scene: colour (B, 3), top and left (B)."""
    colour, top, left = colour[:, None, None, None], top[:, None], left[:, None]
    shape = (len(canvas), 1, side, thickness, 3)
    inner = side - thickness
    put(canvas, np.broadcast_to(colour, shape), top, left)
    put(canvas, np.broadcast_to(colour, shape), top, left + inner)
    put(canvas, np.broadcast_to(colour, shape).swapaxes(2, 3), top, left)
    put(canvas, np.broadcast_to(colour, shape).swapaxes(2, 3), top + inner, left)


# ---- Tasks ---------------------------------------------------------------------------------------------------------


class Cue:
    LABELS = CLASS_NAMES
    ITEM, GAP, BAR, RING = 20, 1, 3, 6
    SIZES = (ITEM,)

    @classmethod
    def describe(cls, draws, items, groups):
        """What is where, as arrays of a row for each scene; the answer is the class of item 0. groups (B, 1): how many
        of the four items are shown."""
        classes = draws.orders(len(CLASSES))[:, :4]
        colours = draws.orders(len(COLOURS))[:, :4]
        quadrants = draws.orders(4)  # of each item; the ring lies in that of item 1
        chosen = items.draw(classes, draws.fractions(4))
        unit = cls.ITEM + cls.GAP + cls.BAR
        strip, half = cls.RING, SIZE // 2  # the ring has the outermost rows for itself
        top = quadrants // 2 * (half - strip) + strip + draws.integers(4, half - strip - cls.ITEM + 1)
        left = quadrants % 2 * half + draws.integers(4, half - unit + 1)
        bar_first = draws.integers(4, 2)
        ring_left = quadrants[:, 1] % 2 * half + draws.integers(1, half - cls.RING + 1)[:, 0]
        ring_top = quadrants[:, 1] // 2 * (SIZE - cls.RING)
        return {"answer": classes[:, 0], "shown": np.arange(4) < groups, "classes": classes, "items": chosen,
                "colours": colours, "top": top, "left": left + bar_first * (cls.GAP + cls.BAR),
                "bar_left": left + (1 - bar_first) * (cls.ITEM + cls.GAP), "ring_top": ring_top, "ring_left": ring_left}

    @classmethod
    def draw(cls, s, items):
        gray = np.zeros((len(s["answer"]), SIZE, SIZE), np.uint8)
        put(gray, items.at[cls.ITEM][s["items"]] * s["shown"][..., None, None], s["top"], s["left"])
        canvas = np.repeat(gray[..., None], 3, 3)
        put_bars(canvas, s["colours"], s["shown"], s["top"], s["bar_left"], cls.ITEM, cls.BAR)
        put_ring(canvas, COLOURS[s["colours"][:, 0]], s["ring_top"], s["ring_left"], cls.RING, 2)
        return canvas


class Twin:
    LABELS = COLOUR_NAMES
    LARGE, SMALL, CELL = 11, 8, 16
    BOX = LARGE + 2  # with the frame
    BAR = 2
    SIZES = (LARGE, SMALL)

    @classmethod
    def describe(cls, draws, items, groups):
        """Items 0-3 lie along the side, 4-7 far from it, 4 + i the twin of i. The answer is the colour of the twin of
        the framed one. groups (B, 1): how many of the four pairs are shown."""
        scenes = len(draws.state)
        classes = draws.orders(len(CLASSES))[:, :4]
        chosen = np.tile(items.draw(classes, draws.fractions(4)), 2)
        colours = draws.orders(len(COLOURS))
        # Along the side and away from it, then turned to one of four sides.
        near = np.stack([draws.orders(4), np.zeros((scenes, 4), np.int64)])
        far = draws.orders(8)[:, :4]
        along, away = np.concatenate([near, np.stack([far % 4, 2 + far // 4])], 2)
        side = draws.integers(1, 4)
        away = np.where(side % 2, 3 - away, away)
        row, column = np.where(side < 2, along, away), np.where(side < 2, away, along)
        large = (np.arange(8) < 4) == draws.integers(1, 2)
        framed = draws.integers(1, 8)[:, 0]
        top = row * cls.CELL + draws.integers(8, cls.CELL - cls.BOX + 1)
        left = column * cls.CELL + draws.integers(8, cls.CELL - cls.BOX - cls.BAR + 1)
        bar_first = draws.integers(8, 2)
        answer = colours[np.arange(scenes), (framed + 4) % 8]
        shown = (np.arange(8) - framed[:, None]) % 4 < groups
        return {"answer": answer, "shown": shown, "classes": np.tile(classes, 2), "items": chosen, "colours": colours,
                "framed": framed, "row": row, "column": column, "large": large, "top": top, "left": left + bar_first * cls.BAR,
                "bar_left": left + (1 - bar_first) * cls.BOX}

    @classmethod
    def draw(cls, s, items):
        scenes = np.arange(len(s["answer"]))[:, None]
        gray = np.zeros((len(scenes), SIZE, SIZE), np.uint8)
        for size, margin, which in [(cls.LARGE, 1, s["large"]), (cls.SMALL, 2, ~s["large"])]:
            which = which.argsort(1, kind="stable")[:, 4:]  # the four of this size
            pick = {k: s[k][scenes, which] for k in ("items", "shown", "top", "left")}
            what = items.at[size][pick["items"]] * pick["shown"][..., None, None]
            put(gray, what, pick["top"] + margin, pick["left"] + margin)
        canvas = np.repeat(gray[..., None], 3, 3)
        put_bars(canvas, s["colours"], s["shown"], s["top"], s["bar_left"], cls.BOX, cls.BAR)
        top, left = (s[k][scenes[:, 0], s["framed"]] for k in ("top", "left"))
        put_ring(canvas, np.full((len(scenes), 3), 255, np.uint8), top, left, cls.BOX, 1)
        return canvas


TASKS = {"cue": Cue, "twin": Twin}


class Scenes:
    """The scenes of a task and part: training without end, from a seed; the others are fixed."""

    def __init__(self, task, part, seed=None):
        if (seed is None) == (part == "train"):
            raise ValueError(f"{part}: training alone takes a seed")
        self.name = f"{task} {part} {SEEDS.get(part, seed)}"
        self.task = TASKS[task]
        self.items = Items(part, self.task.SIZES)
        self.fewest = 1 if part == "train" else 4

    def describe(self, indices):
        draws = Draws(self.name, indices)
        groups = self.fewest + draws.integers(1, 5 - self.fewest)
        return self.task.describe(draws, self.items, groups)

    def batch(self, indices):
        """Pictures (B, 64, 64, 3) of bytes, answers (B)."""
        s = self.describe(indices)
        return self.task.draw(s, self.items), s["answer"]


# ---- For training --------------------------------------------------------------------------------------------------


def pixels(pictures):
    """Bytes (B, S, S, 3) -> the network's input (B, 3, S, S), channels last in memory."""
    mean, std = PREPROCESS["mean"][0], PREPROCESS["std"][0]
    return torch.from_numpy(pictures).float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


def some(scenes, indices):
    pictures, answers = scenes.batch(indices)
    return pixels(pictures), torch.from_numpy(answers)


class Training:
    """What train.py trains on: scenes that are each seen once."""

    UNIT, preprocess = "pictures", PREPROCESS

    def __init__(self, args, size):
        if size != SIZE:
            raise ValueError(f"scenes have a side of {SIZE}, the config says {size}")
        self.batch_size, self.labels = args.batch, TASKS[args.task].LABELS
        self.train = Scenes(args.task, "train", args.seed)
        self.steps = args.pictures // args.batch
        self.evaluate_every = max(1, self.steps // 20)
        self.held_out = args.test_images or 4000, self.scored(Scenes(args.task, "validation"))
        self.test = args.score_test, self.scored(Scenes(args.task, "test"))

    @staticmethod
    def scored(scenes):
        return lambda first, end: some(scenes, np.arange(first, end))

    def progress(self, step):
        return step * self.batch_size

    def batch(self, step, part):
        """One part of the batch of a step."""
        return some(self.train, np.arange(step * self.batch_size, (step + 1) * self.batch_size)[part])


# ---- The command ---------------------------------------------------------------------------------------------------


def write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    # Without a date, so that the same scenes are the same file.
    tensor_file.replace(path, lambda f: f.write(gzip.compress(header + array.tobytes(), 6, mtime=0)))


def main():
    p = argparse.ArgumentParser(description="Writes the test scenes of a task as idx files, which mohvit eval reads.")
    p.add_argument("task", choices=TASKS)
    p.add_argument("--out", required=True, metavar="DIRECTORY")
    p.add_argument("--part", choices=["validation", "test"], default="test", help="default: %(default)s")
    p.add_argument("--scenes", type=int, default=TEST_SCENES, metavar="N", help="the first N; default: %(default)s")
    args = p.parse_args()
    os.makedirs(args.out, exist_ok=True)
    pictures, answers = Scenes(args.task, args.part).batch(np.arange(args.scenes))
    write_idx(f"{args.out}/{args.task}-images-idx4-ubyte.gz", pictures)
    write_idx(f"{args.out}/{args.task}-labels-idx1-ubyte.gz", answers.astype(np.uint8))


if __name__ == "__main__":
    main()
