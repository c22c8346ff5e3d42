"""What the suites of the Python module share."""

import glob
import json
import os
import unittest

import numpy as np

import mohvit

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "tests", "golden")
SAMPLES = sorted(glob.glob(os.path.join(ROOT, "tools", "samples", "*.png")))
FASHION_MNIST = "/usr/share/datasets/fashion-mnist/t10k"
BUILT_IN = os.path.join(ROOT, "weights", "moh_vit_nano.safetensors")
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def load_safetensors(path):
    """Float32 arrays of a file, whose bfloat16 is widened."""
    data = read(path)
    end = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:end]).items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            values = np.frombuffer(data[end + first:end + last], {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[about["dtype"]])
            if about["dtype"] == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            tensors[name] = values.astype(np.float32).reshape(about["shape"])
    return tensors


class Suite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = mohvit.Model()

    def same(self, one, other):
        """Two results with the same bits."""
        for name in ("logits", "features", "head_tokens", "head_gate_sum"):
            a, b = getattr(one, name), getattr(other, name)
            self.assertEqual((a.dtype, a.shape, a.tobytes()), (b.dtype, b.shape, b.tobytes()), name)
