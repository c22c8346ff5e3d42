"""safetensors and idx files, for which Debian has no Python package."""

import gzip
import json
import os
import struct

import numpy as np
import torch

DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
          "I64": torch.int64, "I32": torch.int32}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def load(path):
    """Tensors by name, and the metadata."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = bytearray(f.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, info in header.items():
        first, end = info["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.uint8)[first:end].clone()
        tensors[name] = flat.view(DTYPES[info["dtype"]]).reshape(info["shape"])
    return tensors, metadata


def save(path, tensors, metadata):
    """Writes tensors in their order. The file appears whole or not at all."""
    header, parts, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        parts.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    replace(path, lambda f: f.writelines([struct.pack("<Q", len(text)), text, *parts]))


def replace(path, write):
    """Lets write(file) write the new contents of path, which is replaced in one step."""
    part = f"{path}.part"
    with open(part, "wb") as f:
        write(f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)


def load_idx(path):
    """MNIST's format, gzipped bytes, as an array."""
    with gzip.open(path, "rb") as f:
        zeros, kind, rank = struct.unpack(">HBB", f.read(4))
        if zeros or kind != 8:
            raise ValueError(f"{path}: not an idx file of bytes")
        shape = struct.unpack(f">{rank}I", f.read(4 * rank))
        return np.frombuffer(f.read(), np.uint8).reshape(shape)
