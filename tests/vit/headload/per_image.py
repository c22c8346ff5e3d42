"""Reads files of safetensors with NumPy alone: what tests on per-image files share."""

import json

import numpy as np

TYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U8": np.uint8}


def read(path):
    """The metadata, and arrays by their names."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    return metadata, {name: np.frombuffer(data[start:][slice(*t["data_offsets"])], TYPES[t["dtype"]]).reshape(t["shape"])
                      for name, t in header.items()}
