#!/usr/bin/python3
"""The program's library, or PyTorch, as a contestant of compare.py, which says what it reads and writes:
contestant.py JOB"""

import ctypes
import json
import os
import sys
import time

import numpy as np


class Options(ctypes.Structure):
    """The beginning of mohvit_options of vit/mohvit.h: its size says where it ends."""

    _fields_ = [("size", ctypes.c_size_t),
                *((name, ctypes.c_char_p) for name in ("key", "config", "labels", "preprocess")),
                ("img_size", ctypes.c_size_t), ("backend", ctypes.c_int), ("precision", ctypes.c_int),
                ("routed_heads", ctypes.c_char_p), ("threads", ctypes.c_int)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 1024)]


UNSUPPORTED = 5  # MOHVIT_ERROR_UNSUPPORTED


class Unsupported(Exception):
    """This processor lacks the instructions that a precision needs."""


class Mohvit:
    def __init__(self, job, pixels):
        self.library, self.error = ctypes.CDLL(job["library"]), Error()
        self.library.mohvit_logits.restype = ctypes.POINTER(ctypes.c_float)
        self.library.mohvit_version.restype = ctypes.c_char_p
        self.version = self.library.mohvit_version().decode()
        model, self.context, precision = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
        self.call("precision_by_name", ctypes.byref(precision), job["precision"].encode())
        options = Options(size=ctypes.sizeof(Options), precision=precision, threads=job["threads"])
        self.call("open", ctypes.byref(model), os.fsencode(job["weights"]), ctypes.byref(options))
        self.call("context_create", ctypes.byref(self.context), model, ctypes.c_size_t(len(pixels)), job["threads"])
        for slot, image in enumerate(pixels):
            floats = image.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            self.call("load_tensor", self.context, ctypes.c_size_t(slot), floats)
        self.classes = job["classes"]

    def call(self, name, *arguments):
        if getattr(self.library, f"mohvit_{name}")(*arguments, ctypes.byref(self.error)):
            kind = Unsupported if self.error.status == UNSUPPORTED else RuntimeError
            raise kind(self.error.message.decode())

    def run(self, batch):
        self.call("run", self.context, ctypes.c_size_t(batch))

    def logits(self, batch):
        slots = (self.library.mohvit_logits(self.context, ctypes.c_size_t(slot)) for slot in range(batch))
        return np.concatenate([np.ctypeslib.as_array(slot, (self.classes,)) for slot in slots])


class PyTorch:
    """As published: as it is. As deployed (inference.py): also traced and frozen, as PyTorch's documents advise."""

    def __init__(self, job, pixels):
        import torch

        import inference
        import published

        self.version = torch.__version__
        torch.set_num_threads(job["threads"])
        torch.set_grad_enabled(False)
        self.pixels = torch.from_numpy(pixels)
        if job["form"] == "published":
            self.model = published.load(job["weights"])
        else:
            self.model = inference.frozen(inference.load(job["weights"]), self.pixels[:2])

    def run(self, batch):
        self.answer = self.model(self.pixels[:batch])

    def logits(self, batch):
        return self.answer.numpy().ravel()


def say(answer):
    print(json.dumps(answer), flush=True)


def serve(job):
    pixels = np.fromfile(job["pixels"], np.float32).reshape(-1, 3, job["size"], job["size"])
    contestant = (Mohvit if "library" in job else PyTorch)(job, pixels)
    say({"version": contestant.version})
    for line in sys.stdin:
        request = json.loads(line)
        ms = []
        for _ in range(request["runs"]):
            start = time.perf_counter()
            contestant.run(request["batch"])
            ms.append((time.perf_counter() - start) * 1e3)
        say({"ms": ms, "logits": contestant.logits(request["batch"]).tolist()})


def main():
    try:
        serve(json.loads(sys.argv[1]))
    except Unsupported as e:
        say({"unsupported": str(e)})
    except (OSError, RuntimeError) as e:
        say({"error": str(e)})
        sys.exit(1)


if __name__ == "__main__":
    main()
