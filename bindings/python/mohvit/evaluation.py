"""Scores over data of the caller's own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from .head_load import HeadLoad, check_classes
from .model import Model, Result

_LOSS_UNITS = 2.0 ** 32  # as the program sums losses: in whole numbers, so that their order does not matter


@dataclass(frozen=True)
class Evaluation:
    """What a model scores, in the words of `mohvit eval`.

    images: how many. top1, top5: percent; NaN where there were no images. loss: mean cross-entropy. head_load: of the true
    classes."""

    images: int
    top1: float  #: percent; NaN where there were no images
    top5: float  #: percent
    loss: float  #: mean cross-entropy
    head_load: HeadLoad


def evaluate(model: Model, data: Iterable[tuple[Any, Any]]) -> Evaluation:
    """Scores a model on pairs of an image and its class, or of a batch of images and their classes, as a DataLoader yields
    them. Images are what a model takes; classes are indices. Figures are those of `mohvit eval` on the same pictures."""
    load = HeadLoad(model)
    images = right1 = right5 = loss = 0
    for some, classes in _batches(data, 32 * model.threads):
        result = model(some)
        ranks, losses = _scores(result, check_classes(result, classes))
        load.add(result, classes)
        images += len(result)
        right1 += int((ranks == 0).sum())
        right5 += int((ranks < 5).sum())
        loss += sum(losses.tolist())
    if not images:
        return Evaluation(0, math.nan, math.nan, math.nan, load)
    return Evaluation(images, 100 * right1 / images, 100 * right5 / images, loss / _LOSS_UNITS / images, load)


def _batches(data: Iterable[tuple[Any, Any]], size: int) -> Iterator[tuple[Any, Any]]:
    """Batches as they come; single images in batches of that size."""
    images: list[Any] = []
    classes: list[Any] = []
    for pair in data:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{type(pair).__name__} in the data; expected pairs of an image and its class, or of a batch and its "
                            "classes: zip(images, classes), or [(images, classes)]")
        some, known = pair
        if np.ndim(known):
            yield some, known
            continue
        images.append(some)
        classes.append(known)
        if len(images) == size:
            yield images, classes
            images, classes = [], []
    if images:
        yield images, classes


def _scores(result: Result, classes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each image the number of classes that are likelier than its own, and its loss in units."""
    _, sums = result._sums()
    logits = result.logits.astype(np.float64)
    own = np.take_along_axis(logits, classes[:, None], axis=1)
    before = np.arange(logits.shape[1]) < classes[:, None]  # which an exact tie goes to
    ranks = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    losses = np.log(sums) - (own - logits.max(axis=1, keepdims=True))
    return ranks, np.floor(np.maximum(losses[:, 0], 0) * _LOSS_UNITS + 0.5).astype(np.int64)
