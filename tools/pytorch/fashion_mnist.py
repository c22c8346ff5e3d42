"""Fashion-MNIST as the network sees it: resized as the C program does (spec 4), flipped, shifted, partly covered."""

import numpy as np
import torch
from PIL import Image

import tensor_file

DIRECTORY = "/usr/share/datasets/fashion-mnist"
LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
PREPROCESS = {"crop_pct": 1.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "interpolation": "bicubic"}


def load(part, size, limit=None):
    """part "train" or "t10k" -> gray pictures (n, size, size) of bytes, classes (n)."""
    pictures = tensor_file.load_idx(f"{DIRECTORY}/{part}-images-idx3-ubyte.gz")[:limit]
    classes = tensor_file.load_idx(f"{DIRECTORY}/{part}-labels-idx1-ubyte.gz")[:limit]
    resized = np.empty((len(pictures), size, size), np.uint8)
    for i, picture in enumerate(pictures):
        resized[i] = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
    return resized, torch.from_numpy(classes.astype(np.int64))


def pixels(gray):
    """Bytes (B, S, S) -> the network's input (B, 3, S, S), channels last in memory."""
    levels = torch.arange(256.0).unsqueeze(1) / 255
    table = (levels - torch.tensor(PREPROCESS["mean"])) / torch.tensor(PREPROCESS["std"])  # of each byte, (256, 3)
    return torch.from_numpy(table.numpy()[gray]).permute(0, 3, 1, 2)


def augment(gray, rng, part=slice(None)):
    """A flip for half of the pictures, a shift by up to a sixteenth of the side, a gray square over a quarter.
    Returns one part of the batch: what happens to a picture does not depend on how the batch is cut."""
    n, size = gray.shape[:2]
    reach = size // 16
    columns = np.arange(size)
    flipped = np.where(rng.random((n, 1)) < 0.5, columns, columns[::-1])
    x = reach + rng.integers(-reach, reach + 1, (n, 1)) + flipped
    y = reach + rng.integers(-reach, reach + 1, (n, 1)) + columns
    covered, side, level = rng.random(n) < 0.25, rng.integers(size // 8, size // 3, n), rng.integers(0, 256, n)
    top, left = (rng.random((2, n)) * (size - side)).astype(int)

    out = []
    for i in range(n)[part]:
        picture = np.pad(gray[i], reach)[y[i]][:, x[i]]
        if covered[i]:
            picture[top[i]:top[i] + side[i], left[i]:left[i] + side[i]] = level[i]
        out.append(picture)
    return np.stack(out)


def clutter(gray, rng):
    """Half of the pictures, at random: the item at three eighths to three quarters of its size, anywhere, over four
    pieces of other pictures of the batch."""
    n, size = gray.shape[:2]
    piece, out = size // 4, gray.copy()
    for i in np.flatnonzero(rng.random(n) < 0.5):
        out[i] = 0
        for other in (i + rng.integers(1, max(n, 2), 4)) % n:
            (y, x), (top, left) = rng.integers(0, size - piece + 1, (2, 2))
            out[i, top:top + piece, left:left + piece] = gray[other, y:y + piece, x:x + piece]
        side = rng.integers(3 * size // 8, 3 * size // 4 + 1)
        top, left = rng.integers(0, size - side + 1, 2)
        out[i, top:top + side, left:left + side] = Image.fromarray(gray[i]).resize((side, side), Image.Resampling.BICUBIC)
    return out


class Training:
    """What train.py trains on: all training pictures in each epoch, changed at random."""

    UNIT, labels, preprocess = "epoch", LABELS, PREPROCESS

    def __init__(self, args, size):
        self.args = args
        self.pictures, self.classes = load("train", size, args.train_images)
        test, classes = load("t10k", size, args.test_images)
        self.held_out = len(test), lambda first, end: (pixels(test[first:end]), classes[first:end])
        self.steps_per_epoch = len(self.pictures) // args.batch
        self.steps, self.evaluate_every = self.steps_per_epoch * args.epochs, 2 * self.steps_per_epoch

    def progress(self, step):
        return round(step / self.steps_per_epoch, 3)

    def batch(self, step, part):
        """One part of the batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.args.seed, epoch]).permutation(len(self.pictures))
        chosen = order[position * self.args.batch:(position + 1) * self.args.batch]
        pictures = self.pictures[chosen]
        if self.args.clutter:
            pictures = clutter(pictures, np.random.default_rng([self.args.seed, epoch, step, 1]))
        rng = np.random.default_rng([self.args.seed, epoch, step])
        return pixels(augment(pictures, rng, part)), self.classes[chosen[part]]
