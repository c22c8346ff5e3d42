#!/usr/bin/python3
"""This project, PyTorch and ONNX Runtime with the same weights, inputs and threads, in one run.

    tools/pytorch/compare.py --mohvit build/release/mohvit

measures the time of a batch and prints a Markdown table. Each contestant is a process that waits while another runs,
and all take their turns round by round, so that an hour in which the machine is slow is slow for all. The last answer
of each turn is compared with that of tools/pytorch/moh_vit.py in float64; where one is too far off, the run fails.

PyTorch runs the steps of the published code (published.py), and the network as one would deploy it (inference.py),
traced and frozen. ONNX Runtime runs the latter, with all of its optimisations, in float32 and in int8 (quantize.py). All
get the same number of threads. Times are held against the program's in the same precision, round by round, and its own
lower precisions against its float32. Behind a median stands the interval that holds the true one with 95 %.

A contestant gets its job as JSON on the command line and says {"version": …} when it is ready. For each line
{"batch": B, "runs": N} it runs the first B images N times and says {"ms": […], "logits": […]}.
"""

import argparse
import glob
import importlib.util
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import torch
except ImportError as e:
    sys.exit(f"compare: {e}: PyTorch makes the models of all; tools/pytorch/setup installs it")

import inference
import moh_vit
import synthetic
import tensor_file

HERE = os.path.dirname(os.path.abspath(__file__))
ONNXRUNTIME = f"{HERE}/onnxruntime"
IMAGES = 8  # that a contestant classifies in a round, after one to warm up

# How far logits may be from those in float64: RMS, in parts of their standard deviation. Float32 lands near 1e-5;
# one of PyTorch's eight images of S-75 was farther off, probably for a head that a token picked otherwise: 1.5e-4 in all.
TOLERANCE = {"f32": 1e-3, "bf16": 0.15, "int8": 0.3, "f16": 0.1}


# Those that can be left out, or be missing.
CONTESTANTS = ("published", "pytorch", "onnxruntime", "onnxruntime-int8")


class Failure(Exception):
    pass


def openblas_core(program):
    """Whose kernels OpenBLAS runs in the program, which names the core that fits to an OpenBLAS that does not know the
    processor: {"OPENBLAS_CORETYPE": NAME}, or {} where there is no OpenBLAS.
    """
    command = [program, "classify", "--backend", "openblas", "--provenance", "--format", "json",
               f"{HERE}/../samples/sneaker.png"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        return {}
    kernels = json.loads(answer.stdout.splitlines()[0])["provenance"]["kernels"]
    return {"OPENBLAS_CORETYPE": kernels.partition("_")[2]}


# ---- Contestants ---------------------------------------------------------------------------------------------------


class Contestant:
    """A process, and what it has measured: ms[batch], a time for each round, and how far its answers were off."""

    def __init__(self, name, precision, command, job, environment):
        self.name, self.precision, self.ms = name, precision, {}
        self.rms = 0.0
        threads = str(job["threads"])
        environment = {**os.environ, **environment, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        # Threads of Debian's first choice of OpenBLAS fight with PyTorch's own for the processors: an image of S-75 on
        # two took 524 ms, and 135 ms with the flavour that shares them.
        environment["LD_LIBRARY_PATH"] = ":".join([*glob.glob("/usr/lib/*/openblas-openmp"),
                                                   *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
        self.process = subprocess.Popen([*command, json.dumps(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)

    def hear(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"ended with status {self.process.wait()}"}
        if "error" in answer:
            raise Failure(f"{self.label}: {answer['error']}")
        return answer

    @property
    def label(self):
        return f"{self.name} {self.precision}"

    def measure(self, batch, runs):
        try:
            print(json.dumps({"batch": batch, "runs": runs}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has died, and hear says so
        return self.hear()

    def take_turn(self, batch, expected):
        self.measure(batch, 1)
        answer = self.measure(batch, max(1, IMAGES // batch))
        self.ms.setdefault(batch, []).append(statistics.median(answer["ms"]))
        self.check(answer["logits"], expected)

    def check(self, logits, expected):
        """Notes how far logits are from those expected."""
        rms = np.sqrt(((np.array(logits, float) - expected) ** 2).mean()) / expected.std()
        self.rms = max(self.rms, float(np.nan_to_num(rms, nan=np.inf)))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def ready(contestants, left_out):
    """Those that can take part, ready; the others are noted in left_out, with the reason."""
    able = []
    for c in contestants:
        answer = c.hear()
        if "unsupported" in answer:
            left_out[c.label] = answer["unsupported"]
            continue
        c.version = answer["version"]
        able.append(c)
    return able


def what_is_missing(without):
    """Why contestants are left out, by their names as in --without. int8 is made of the other ONNX model."""
    missing = {name: "--without" for name in without}
    if not os.path.isdir(f"{ONNXRUNTIME}/node_modules/onnxruntime-node") or not shutil.which("node"):
        missing.setdefault("onnxruntime", "not installed; tools/pytorch/setup does it, with Node.js and npm")
    if importlib.util.find_spec("onnx") is None:
        missing.setdefault("onnxruntime-int8", "python3-onnx is not installed; tools/pytorch/setup does it")
    if "onnxruntime" in missing:
        missing.setdefault("onnxruntime-int8", missing["onnxruntime"])
    return missing


def processor(program):
    """Its name, and how many bits a weight of ONNX Runtime's int8 may have (quantize.py)."""
    answer = subprocess.run([program, "--version", "--format", "json"], capture_output=True, text=True, check=True)
    version = json.loads(answer.stdout)
    overflows = platform.machine() == "x86_64" and not any("vnni" in name for name in version["kernels"])
    return version["cpu"], 7 if overflows else 8


def library_of(program):
    """The shared library that was built or installed with the program."""
    directory = os.path.dirname(os.path.abspath(program))
    places = [f"{directory}/vit/api/libmohvit.so", f"{directory}/../lib/libmohvit.so", f"{directory}/../lib/*/libmohvit.so"]
    found = [path for place in places for path in glob.glob(place)]
    if not found:
        raise Failure(f"{program}: no library beside it: looked for {', '.join(places)}")
    return found[0]


# ---- One model -----------------------------------------------------------------------------------------------------


def reference(weights, pixels):
    """The logits of moh_vit.py in float64."""
    tensors, metadata = tensor_file.load(weights)
    torch.set_default_dtype(torch.float64)
    model = moh_vit.MoHViT(json.loads(metadata["config"]))
    torch.set_default_dtype(torch.float32)
    model.load_state_dict(tensors)
    with torch.no_grad():
        return model(pixels.double()).numpy()


def make_contestants(args, directory, job, pixels):
    """All that are not missing, each a process that gets ready."""
    # PyTorch's OpenBLAS knows no newer processor either: on an Intel Emerald Rapids S-75 took PyTorch 722 ms, and 467
    # with the core that fits.
    core = openblas_core(args.mohvit)
    python, node = [sys.executable, f"{HERE}/contestant.py"], ["node", f"{ONNXRUNTIME}/contestant.js"]
    wanted = [("mohvit", precision, python, {"library": library_of(args.mohvit), "precision": precision})
              for precision in ("f32", "bf16", "int8", "f16")]
    if "published" not in args.missing:
        wanted.append(("PyTorch, published code", "f32", python, {"form": "published"}))
    if "pytorch" not in args.missing:
        wanted.append(("PyTorch", "f32", python, {"form": "deployed"}))
    if "onnxruntime" not in args.missing:
        say("exporting the model for ONNX Runtime")
        inference.export(inference.load(job["weights"]), f"{directory}/f32.onnx", pixels[:2])
        wanted.append(("ONNX Runtime", "f32", node, {"onnx": f"{directory}/f32.onnx"}))
    if "onnxruntime-int8" not in args.missing:
        import quantize

        quantize.quantize(f"{directory}/f32.onnx", f"{directory}/int8.onnx", args.bits)
        wanted.append(("ONNX Runtime", "int8", node, {"onnx": f"{directory}/int8.onnx"}))
    return [Contestant(name, precision, command, {**job, **more}, core) for name, precision, command, more in wanted]


def take_turns(args, name, able, expected):
    begun = time.monotonic()
    for batch in args.batches:
        for i in range(args.rounds):
            shift = i % len(able)
            for c in able[shift:] + able[:shift]:
                c.take_turn(batch, expected[:batch].ravel())
            say(f"{name}, batch {batch}: round {i + 1} of {args.rounds} after {time.monotonic() - begun:.0f} s")


def compete(args, directory, name, source):
    """Measures all contestants on the model that source, options of mohvit synth, describes."""
    weights = f"{directory}/weights.safetensors"
    say(f"{name}: making weights, and logits in float64")
    subprocess.run([args.mohvit, "synth", *source, "--seed", str(args.seed), weights], check=True,
                   stdout=subprocess.DEVNULL)
    config = json.loads(tensor_file.load(weights)[1]["config"])
    pixels = synthetic.pixels(max(2, *args.batches), config["img_size"], args.seed)
    pixels.numpy().tofile(f"{directory}/pixels")
    expected = reference(weights, pixels)
    job = {"weights": weights, "pixels": f"{directory}/pixels", "size": config["img_size"], "threads": args.threads,
           "classes": config["num_classes"]}
    contestants = make_contestants(args, directory, job, pixels)
    try:
        able = ready(contestants, args.missing)
        take_turns(args, name, able, expected)
    finally:
        for c in contestants:
            c.close()
    return able


# ---- Results -------------------------------------------------------------------------------------------------------


def summary(values):
    """Their median, and the interval that holds the true one with 95 %, as mohvit bench has it: ranks by which the
    binomial distribution leaves out 2.5 % at either end. Of fewer than six values it is the whole range."""
    values, n = sorted(values), len(values)
    tails = [sum(math.comb(n, i) for i in range(k + 1)) / 2 ** n for k in range(n)]
    k = max(sum(tail <= 0.025 for tail in tails) - 1, 0)
    return {"median": statistics.median(values), "low": values[k], "high": values[n - 1 - k]}


def rival_of(contestant, contestants):
    """Who a contestant's times are held against: the program in the same precision, or, of the program, in float32."""
    ours = {c.precision: c for c in contestants if c.name == "mohvit"}
    return ours["f32"] if contestant.name == "mohvit" else ours.get(contestant.precision, ours["f32"])


def result(contestant, rival):
    batches = {}
    for batch, ms in contestant.ms.items():
        time_of_batch = summary(ms)
        # Round by round, since the machine was the same for both in a round, but not from one to the next.
        ratios = [its / theirs for its, theirs in zip(ms, rival.ms[batch])]
        batches[batch] = {"ms": time_of_batch, "images_per_s": batch / time_of_batch["median"] * 1e3,
                          "time_over_mohvit": summary(ratios), "rounds_ms": ms}
    return {"name": contestant.name, "precision": contestant.precision, "version": contestant.version,
            "against": rival.label, "rms": contestant.rms,
            "agrees": contestant.rms <= TOLERANCE[contestant.precision], "batches": batches}


def with_interval(of, digits, unit=""):
    return f"{of['median']:.{digits}f}{unit} ({of['low']:.{digits}f} to {of['high']:.{digits}f})"


def print_table(args, models):
    versions = {r["name"].partition(",")[0]: r["version"] for results in models.values() for r in results}
    print(f"{args.cpu}, {args.threads} threads, {args.rounds} round{'s'[:args.rounds > 1]}; "
          f"{', '.join(f'{name} {version}' for name, version in versions.items())}")
    print()
    heads = ["model", ""]
    for batch in args.batches:
        heads += [f"batch {batch}", "images/s", "time over `mohvit`'s"]
    print(f"| {' | '.join([*heads, 'RMS from float64'])} |")
    print("| --- " * (len(heads) + 1) + "|")
    for name, results in models.items():
        for r in results:
            cells = [f"`{name}`" if r is results[0] else "", f"{r['name']} {r['precision']}"]
            for batch in args.batches:
                of = r["batches"][batch]
                cells += [with_interval(of["ms"], 1, " ms"), f"{of['images_per_s']:.2f}",
                          with_interval(of["time_over_mohvit"], 2)]
            print(f"| {' | '.join([*cells, format(r['rms'], '.1e')])} |")


def disagreements(models):
    return [f"{name}: {r['name']} {r['precision']}: logits are {r['rms']:.1e} RMS from float64, "
            f"expected at most {TOLERANCE[r['precision']]}"
            for name, results in models.items() for r in results if not r["agrees"]]


def numbers(text):
    values = [int(word) for word in text.split(",")]
    if min(values) < 1:
        raise ValueError
    return values


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--mohvit", default="build/release/mohvit", metavar="PROGRAM", help="default %(default)s")
    p.add_argument("--variants", default="moh_transnext_small_75,moh_transnext_base_50", metavar="NAME,…",
                   help="published variants, with synthetic weights; default %(default)s")
    p.add_argument("--config", metavar="FILE", help="the JSON config of any other model, in place of variants")
    p.add_argument("--seed", type=int, default=7, help="of weights and images; default %(default)s")
    p.add_argument("--threads", type=int, default=2, metavar="N", help="of each contestant; default %(default)s")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="default %(default)s")
    p.add_argument("--batches", type=numbers, default=[1, 8], metavar="N,…", help="default 1,8")
    p.add_argument("--without", action="append", default=[], choices=CONTESTANTS,
                   help="leave one out; may be given several times")
    p.add_argument("--format", choices=["markdown", "json"], default="markdown", help="json: one line")
    args = p.parse_args()
    if args.threads < 1 or args.rounds < 1:
        p.error("--threads and --rounds are at least 1")
    args.missing = what_is_missing(args.without)
    return args


def main():
    args = parse()
    sources = {name: ["--variant", name] for name in args.variants.split(",")}
    if args.config:
        sources = {os.path.basename(args.config): ["--config", args.config]}
    models = {}
    try:
        args.cpu, args.bits = processor(args.mohvit)
        for name, source in sources.items():
            with tempfile.TemporaryDirectory() as directory:
                contestants = compete(args, directory, name, source)
            models[name] = [result(c, rival_of(c, contestants)) for c in contestants]
    except (Failure, OSError, subprocess.CalledProcessError) as e:
        sys.exit(f"compare: {e}")
    if args.format == "json":
        print(json.dumps({"models": models, "cpu": args.cpu, "threads": args.threads, "rounds": args.rounds,
                          "seed": args.seed, "tolerance": TOLERANCE, "left_out": args.missing}))
    else:
        print_table(args, models)
    for name, reason in args.missing.items():
        if name not in args.without:
            say(f"left out: {name}: {reason}")
    for line in disagreements(models):
        say(line)
    sys.exit(1 if disagreements(models) else 0)


if __name__ == "__main__":
    main()
