#!/usr/bin/python3
"""What Python costs over C, and against the program: PYTHONPATH=build/release/bindings/python tests/bindings/measure_python.py

Prints a line for each bound, and fails where one does not hold. The two sides of a ratio take turns, so that a machine that is
slower in one minute than in the next slows both; still it wants a machine with nothing else to do. Takes two minutes on two
cores."""

import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

import mohvit
from mohvit._mohvit import ffi, lib
from support import FASHION_MNIST, GOLDEN

failed = False


def report(what, value, unit, bound, holds):
    global failed
    failed |= not holds
    print(f"{what:<64} {value:8.3f} {unit:<3} (bound: {bound}){'' if holds else '  FAILED'}", flush=True)


def seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def overhead(what, image, load):
    """Median of the difference between a call and the same two calls of the library, in microseconds."""
    model = mohvit.Model(threads=1)
    context = model._pool.take(1, 1, False)
    pointer, error = context._pointer, ffi.new("mohvit_error *")

    def direct():
        load(pointer, error)
        lib.mohvit_run(pointer, 1, error)
    differences = []
    for turn in range(3000):
        if turn % 2:
            ours, theirs = seconds(lambda: model(image)), seconds(direct)
        else:
            theirs, ours = seconds(direct), seconds(lambda: model(image))
        differences.append(1e6 * (ours - theirs))
    median = statistics.median(differences)
    report(f"a call with {what}, over load and run of the library", median, "us", "5", median <= 5)


def overheads():
    size = mohvit.Model().img_size
    tensor = np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32)
    floats = ffi.from_buffer("float[]", tensor)
    overhead("a tensor", tensor, lambda pointer, error: lib.mohvit_load_tensor(pointer, 0, floats, error))
    pixels = np.random.default_rng(1).integers(0, 256, (28, 28, 3), np.uint8)
    octets = ffi.from_buffer("uint8_t[]", pixels)
    overhead("pixels", pixels, lambda pointer, error: lib.mohvit_load_rgb(pointer, 0, octets, 28, 28, 84, error))


def paths(name, options, weights, rounds):
    """64 photos, against classify, whose start and end are taken off by a run with one photo."""
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
        theirs = (seconds(lambda: program(photos)) - seconds(lambda: program(photos[:1]))) * 64 / 63
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
overheads()
paths("built-in model", {}, None, 7)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "small.safetensors")
    subprocess.run([mohvit.program_path(), "synth", "--variant", "moh_transnext_small_75", path], check=True, stderr=subprocess.DEVNULL)
    paths("moh_transnext_small_75", {}, path, 3)
arrays()
sys.exit(failed)
