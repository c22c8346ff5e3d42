"""The files that the program writes for --features and --logits."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """What `mohvit eval` or `classify` wrote of N pictures, in the order of the data.

    features: (N, channels), or of a file of --logits (N, num_classes) scores. index: (N) places in the data, from 0.
    classes: (N) indices; -1 where a picture has none. names: of the pictures, where "\\\\" is a backslash, and "\\xff" a byte
    that is not UTF-8. provenance: what they depend on."""

    features: NDArray[np.float32]
    index: NDArray[np.int64]
    classes: NDArray[np.int64]
    names: list[str]
    provenance: dict[str, Any]


def load_features(path: str | os.PathLike[str]) -> Features:
    """Reads a file of `mohvit eval --features FILE`, or of --logits. ValueError where it is something else.

        train = mohvit.load_features("train.safetensors")
        train.features, train.classes"""
    with open(path, "rb") as file:
        data = file.read()
    try:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        about = header.pop("__metadata__", {})
        arrays = {name: np.frombuffer(data[end + t["data_offsets"][0]:end + t["data_offsets"][1]],
                                      {"F32": "<f4", "I64": "<i8", "U8": "u1"}[t["dtype"]]).reshape(t["shape"])
                  for name, t in header.items()}
        text, ends = arrays["names"].tobytes(), arrays["name_offsets"]
        names = [text[a:b].decode() for a, b in zip(ends, ends[1:])]
        vectors = arrays["features" if "features" in arrays else "logits"]
        return Features(vectors, arrays["index"], arrays["class"], names, json.loads(about["provenance"]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)}: is not a file of mohvit eval --features or --logits ({error!r})") from None
