#!/usr/bin/python3
"""This project, PyTorch and ONNX Runtime with the same weights, inputs and threads, in one run.

    tools/pytorch/compare.py --mohvit build/release/mohvit

measures the time of a batch and prints a Markdown table. Each contestant is a process that waits while another runs,
and all take their turns round by round, so that an hour in which the machine is slow is slow for all. The last answer
of each turn is compared with that of tools/pytorch/moh_vit.py in float64; where one is too far off, the run fails.

A contestant gets its job as JSON on the command line and says {"version": …} when it is ready. For each line
{"batch": B, "runs": N} it runs the first B images N times and says {"ms": […], "logits": […]}.
"""

import argparse
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import torch

import inference
import moh_vit
import synthetic
import tensor_file

HERE = os.path.dirname(os.path.abspath(__file__))
ONNXRUNTIME = f"{HERE}/onnxruntime"
IMAGES = 8  # that a contestant classifies in a round, after one to warm up

# How far logits may be from those in float64: RMS, in parts of their standard deviation. Float32 lands near 1e-5;
# one of PyTorch's eight images of S-75 was farther off, probably for a head that a token picked otherwise: 1.5e-4 in all.
TOLERANCE = {"f32": 1e-3, "bf16": 0.15, "int8": 0.3}


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


def ready(contestants):
    """Those that can take part, ready."""
    able = []
    for c in contestants:
        answer = c.hear()
        if "unsupported" in answer:
            print(f"compare: left out: {c.label}: {answer['unsupported']}", file=sys.stderr)
            continue
        c.version = answer["version"]
        able.append(c)
    return able


def have_onnxruntime():
    return os.path.isdir(f"{ONNXRUNTIME}/node_modules/onnxruntime-node")


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


def compete(args, directory, source):
    """Measures all contestants on the model that source, options of mohvit synth, describes."""
    weights = f"{directory}/weights.safetensors"
    subprocess.run([args.mohvit, "synth", *source, "--seed", str(args.seed), weights], check=True,
                   stdout=subprocess.DEVNULL)
    config = json.loads(tensor_file.load(weights)[1]["config"])
    pixels = synthetic.pixels(max(args.batches), config["img_size"], args.seed)
    pixels.numpy().tofile(f"{directory}/pixels")
    expected = reference(weights, pixels)

    job = {"weights": weights, "pixels": f"{directory}/pixels", "size": config["img_size"], "threads": args.threads,
           "classes": config["num_classes"]}
    # PyTorch's OpenBLAS knows no newer processor either: on an Intel Emerald Rapids S-75 took PyTorch 722 ms, and 467
    # with the core that fits.
    core = openblas_core(args.mohvit)
    python = [sys.executable, f"{HERE}/contestant.py"]
    contestants = [Contestant("mohvit", precision, python, {**job, "library": library_of(args.mohvit),
                                                            "precision": precision}, core)
                   for precision in ("f32", "bf16", "int8")]
    if "pytorch" not in args.without:
        contestants.append(Contestant("PyTorch", "f32", python, job, core))
    if "onnxruntime" not in args.without:
        onnx = f"{directory}/model.onnx"
        inference.export(inference.load(weights), onnx, pixels[:2])
        contestants.append(Contestant("ONNX Runtime", "f32", ["node", f"{ONNXRUNTIME}/contestant.js"],
                                      {**job, "onnx": onnx}, core))
    try:
        able = ready(contestants)
        for batch in args.batches:
            for i in range(args.rounds):
                shift = i % len(able)
                for c in able[shift:] + able[:shift]:
                    c.take_turn(batch, expected[:batch].ravel())
    finally:
        for c in contestants:
            c.close()
    return able


# ---- Results -------------------------------------------------------------------------------------------------------


def result(contestant, ours):
    """What is said of a contestant; ours is the one that all are held against, the program in float32."""
    batches = {}
    for batch, ms in contestant.ms.items():
        median = statistics.median(ms)
        # Round by round, since the machine was the same for both in a round, but not from one to the next.
        speed = statistics.median(our / its for our, its in zip(ours.ms[batch], ms))
        batches[batch] = {"ms_median": median, "ms_best": min(ms), "images_per_s": batch / median * 1e3,
                          "speed_against_mohvit_f32": speed, "ms": ms}
    return {"name": contestant.name, "precision": contestant.precision, "version": contestant.version,
            "rms": contestant.rms, "agrees": contestant.rms <= TOLERANCE[contestant.precision],
            "batches": batches}


def print_table(models, batches):
    latency = batches[0]
    heads = ["model", "", f"batch {latency}: median (best)"]
    for batch in batches:
        heads += [f"images/s at batch {batch}", "against `mohvit` f32"]
    print(f"| {' | '.join([*heads, 'RMS from float64'])} |")
    print("| --- " * (len(heads) + 1) + "|")
    for name, results in models.items():
        for r in results:
            of = r["batches"]
            cells = [f"`{name}`" if r is results[0] else "", f"{r['name']} {r['precision']}",
                     f"{of[latency]['ms_median']:.1f} ms ({of[latency]['ms_best']:.1f})"]
            for batch in batches:
                cells += [f"{of[batch]['images_per_s']:.2f}", f"{of[batch]['speed_against_mohvit_f32']:.2f} ×"]
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
    p.add_argument("--without", action="append", default=[], choices=["pytorch", "onnxruntime"],
                   help="leave one out; may be given twice")
    p.add_argument("--format", choices=["markdown", "json"], default="markdown", help="json: one line")
    args = p.parse_args()
    if args.threads < 1 or args.rounds < 1:
        p.error("--threads and --rounds are at least 1")
    if "onnxruntime" not in args.without and not have_onnxruntime():
        p.error("ONNX Runtime is not installed: run tools/pytorch/setup, or leave it out with --without onnxruntime")
    return args


def main():
    args = parse()
    sources = {name: ["--variant", name] for name in args.variants.split(",")}
    if args.config:
        sources = {os.path.basename(args.config): ["--config", args.config]}
    models = {}
    try:
        for name, source in sources.items():
            with tempfile.TemporaryDirectory() as directory:
                contestants = compete(args, directory, source)
            models[name] = [result(c, contestants[0]) for c in contestants]
    except (Failure, OSError, subprocess.CalledProcessError) as e:
        sys.exit(f"compare: {e}")
    if args.format == "json":
        print(json.dumps({"models": models, "threads": args.threads, "rounds": args.rounds, "seed": args.seed,
                          "tolerance": TOLERANCE}))
    else:
        print_table(models, args.batches)
    for line in disagreements(models):
        print(f"compare: {line}", file=sys.stderr)
    sys.exit(1 if disagreements(models) else 0)


if __name__ == "__main__":
    main()
