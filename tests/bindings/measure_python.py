#!/usr/bin/python3
"""What Python costs over C, and against the program: PYTHONPATH=build/release/bindings/python tests/bindings/measure_python.py

Prints a line for each bound, and fails where one does not hold. The two sides of a ratio take turns, so that a machine that is
slower in one minute than in the next slows both; still it wants a machine with nothing else to do. Takes two minutes on two
cores."""

import ctypes
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from unittest import mock

import numpy as np

import mohvit
from mohvit._mohvit import ffi, lib
from support import FASHION_MNIST, GOLDEN, ROOT

failed = False


def report(what, value, unit, bound, holds):
    global failed
    failed |= not holds
    print(f"{what:<64} {value:8.3f} {unit:<3} (bound: {bound}){'' if holds else '  FAILED'}", flush=True)


def seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


DIRECT = r"""
#include "vit/mohvit.h"
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double direct_tensor(mohvit_context *ctx, const float *tensor)
{
    double began = seconds();
    if (mohvit_load_tensor(ctx, 0, tensor, NULL) || mohvit_run(ctx, 1, NULL))
        return -1;
    return seconds() - began;
}

double direct_pixels(mohvit_context *ctx, const unsigned char *rgb, size_t width, size_t height)
{
    double began = seconds();
    if (mohvit_load_rgb(ctx, 0, rgb, width, height, 3 * width, NULL) || mohvit_run(ctx, 1, NULL))
        return -1;
    return seconds() - began;
}
"""


def compiled(folder):
    """The same calls as a program in C makes them, for this process."""
    code, library = os.path.join(folder, "direct.c"), os.path.join(folder, "direct.so")
    with open(code, "w", encoding="utf-8") as file:
        file.write(DIRECT)
    ours = os.path.join(os.path.dirname(mohvit.__file__), "libmohvit.so.1")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-I", ROOT, "-o", library, code, ours], check=True)
    loaded = ctypes.CDLL(library)
    loaded.direct_tensor.restype = loaded.direct_pixels.restype = ctypes.c_double
    return loaded


def overhead(what, image, direct, *sides):
    """Median of the difference between a call and the same by a program in C, which loads the same image into the same context and
    runs it on the same thread; the two take turns. Then Python's own steps, the library asked for nothing in between: right after
    a pass, whose weights have taken the caches, and one call after the other. Where the first of these two is about what a call
    costs over C, the steps have to wait for memory, and nothing else is lost."""
    model = mohvit.Model(threads=1)
    context = model._pool.take(1, 1, (False, False))
    model._pool.give(context)
    arguments = [ctypes.c_void_p(int(ffi.cast("uintptr_t", context.pointer))), ctypes.c_void_p(image.ctypes.data),
                 *map(ctypes.c_size_t, sides)]
    differences, passes, after_a_pass = [], [], []
    for turn in range(4000):
        if turn % 2:
            theirs, ours = direct(*arguments), seconds(lambda: model(image))
        else:
            ours, theirs = seconds(lambda: model(image)), direct(*arguments)
        differences.append(1e6 * (ours - theirs))
        passes.append(1e6 * theirs)
    median = statistics.median(differences)
    report(f"a call with {what}, over the same in C", median, "us", "5", median <= 5)
    print(f"    of the {statistics.median(passes):.0f} us that C takes: {100 * median / statistics.median(passes):.1f} %")
    with mock.patch.object(mohvit.context, "lib", Idle(lib)):
        for _ in range(1000):
            direct(*arguments)
            after_a_pass.append(1e6 * seconds(lambda: model(image)))
        steps = 1e3 * min(seconds(lambda: [model(image) for _ in range(1000)]) for _ in range(100))
    print(f"    its steps in Python alone, right after a pass: {statistics.median(after_a_pass):.1f} us")
    report(f"a call with {what}, its steps in Python alone", steps, "us", "5", steps <= 5)


class Idle:
    """The library, which runs nothing."""

    def __init__(self, library):
        vars(self).update({name: getattr(library, name) for name in dir(library) if not name.startswith("on_")})
        self.run_each = lambda *arguments: 0


def overheads(direct):
    size = mohvit.Model().img_size
    tensor = np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32)
    overhead("a tensor", tensor, direct.direct_tensor)
    pixels = np.random.default_rng(1).integers(0, 256, (28, 28, 3), np.uint8)
    overhead("pixels", pixels, direct.direct_pixels, 28, 28)


def paths(name, options, weights, rounds):
    """64 photos, against what classify takes for 64 more, since it also opens the model."""
    photos = [os.path.join(GOLDEN, "images", photo) for photo in ("cat_420.jpg", "cat_444.jpg", "coffee_422_progressive.jpg",
                                                                  "rocket_wide_640x64.jpg")] * 16
    model = mohvit.Model(weights, **options)
    command = [mohvit.program_path(), "classify", "--quiet", "--format", "json"] + (["--weights", weights] if weights else [])

    def program(some):
        subprocess.run(command + some, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    model(photos)
    ratios = []
    for _ in range(rounds):
        ours = seconds(lambda: model(photos).top(5))
        theirs = seconds(lambda: program(2 * photos)) - seconds(lambda: program(photos))
        ratios.append(theirs / ours)
    report(f"64 photos, {name}: rate against classify", statistics.median(ratios), "x", "0.95", statistics.median(ratios) >= 0.95)


def arrays():
    n = 10000
    with gzip.open(FASHION_MNIST + "-images-idx3-ubyte.gz") as file:
        images = np.repeat(np.frombuffer(file.read()[16:], np.uint8).reshape(n, 28, 28, 1), 3, axis=-1)
    with gzip.open(FASHION_MNIST + "-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read()[8:], np.uint8)
    data = f"idx:{FASHION_MNIST}-images-idx3-ubyte.gz,{FASHION_MNIST}-labels-idx1-ubyte.gz"
    model = mohvit.Model()
    for what, call in (("model(images)", lambda: model(images)), ("evaluate", lambda: mohvit.evaluate(model, zip(images, classes)))):
        ratios = []
        for _ in range(3):
            ours = n / seconds(call)
            ratios.append(ours / mohvit.run_cli("eval", data)[0]["images_per_s"])
        report(f"10,000 arrays by {what}: rate against eval", statistics.median(ratios), "x", "0.9", statistics.median(ratios) >= 0.9)


warnings.simplefilter("ignore")  # synthetic weights
with tempfile.TemporaryDirectory() as folder:
    overheads(compiled(folder))
paths("built-in model", {}, None, 7)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "small.safetensors")
    subprocess.run([mohvit.program_path(), "synth", "--variant", "moh_transnext_small_75", path], check=True, stderr=subprocess.DEVNULL)
    paths("moh_transnext_small_75", {}, path, 3)
arrays()
sys.exit(failed)
