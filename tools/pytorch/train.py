#!/usr/bin/python3
"""Trains a MoH-ViT, or a dense TransNeXt, from scratch, on a CPU: on Fashion-MNIST, or on scenes of its items.

    tools/pytorch/train.py --config tools/pytorch/nano.json --epochs 20 --out nano
    tools/pytorch/train.py --config small.json --task twin --pictures 300000 --out twin

writes nano/log.csv and nano/curve.svg, and at the end nano/model.pth and nano/model.safetensors. Stopped at any
moment, the same command goes on from nano/checkpoint.pt and ends with the very weights of a run that was not stopped:
what is random is a function of seed, step and epoch alone. Each process computes its part of every batch on one
thread; on two cores that is several times faster than one process of two threads.
"""

import argparse
import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

WORKER = "MOHVIT_TRAIN_RANK"
# Without them the C library returns each large tensor to the system at once, and finding its pages anew takes more
# than 40 % of a step.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000",
               "MALLOC_TOP_PAD_": "100000000", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
               "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

if WORKER in os.environ:
    import numpy as np
    import torch
    import torch.distributed as dist
    import torch.nn.functional as F

    import arms
    import fashion_mnist
    import scenes
    import tensor_file
    from moh_vit import MoHViT, balance_loss


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--config", required=True, metavar="FILE.json", help="the model: spec 1")
    p.add_argument("--out", required=True, metavar="DIRECTORY", help="where everything is written")
    p.add_argument("--epochs", type=int, help="of Fashion-MNIST")
    p.add_argument("--task", choices=["cue", "twin"], help="scenes (scenes.py) in its place; each tensor then starts "
                   "from seed and name alone")
    p.add_argument("--pictures", type=int, metavar="N", help="scenes to train on, each seen once")
    p.add_argument("--block", choices=["attention", "uniform", "none"], default="attention",
                   help="of scenes: what a block has in the place of attention (arms.py)")
    p.add_argument("--centre-only", action="store_true", help="only the centre taps of depthwise kernels")
    p.add_argument("--clutter", action="store_true", help="of Fashion-MNIST: half of the pictures lie shrunk among pieces "
                   "of others")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2e-3, help="at its highest; default %(default)s")
    p.add_argument("--warm-up", type=int, default=400, metavar="STEPS")
    p.add_argument("--weight-decay", type=float, default=0.05)
    p.add_argument("--label-smoothing", type=float, default=0.1)
    p.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights, which are the result")
    p.add_argument("--clip", type=float, default=2.0, help="largest norm of a gradient")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--one-stage", action="store_true", help="ablation: wg_0's answer is (1, 1)")
    p.add_argument("--from", dest="start", metavar="FILE.safetensors", help="weights to start from; others are random")
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--save-every", type=int, default=100, metavar="STEPS")
    p.add_argument("--evaluate-every", type=int, default=0, metavar="STEPS",
                   help="default: once in two epochs, or twenty times")
    p.add_argument("--evaluate-first", action="store_true", help="also before the first step")
    p.add_argument("--train-images", type=int, metavar="N", help="the first N alone, for a try")
    p.add_argument("--test-images", type=int, metavar="N", help="likewise; of scenes: for validation, by default 4,000")
    p.add_argument("--score-test", type=int, default=0, metavar="N", help="score N test scenes at the end")
    p.add_argument("--stop-after", type=int, metavar="STEPS", help="end early, with the model so far; without it the same "
                   "command goes on")
    args = p.parse_args()
    if (args.epochs is None) == (args.task is None) or (args.pictures is None) != (args.task is None):
        p.error("--epochs, or --task and --pictures")
    if args.clutter and args.task:
        p.error("--clutter is of Fashion-MNIST")
    return args


# ---- The state of a run --------------------------------------------------------------------------------------------


def flatten(parameters):
    """Makes all parameters, and their gradients, views of one vector each: one operation updates them all."""
    flat = torch.nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    offset = 0
    for p in parameters:
        here = slice(offset, offset + p.numel())
        p.data, p.grad = flat.data[here].view_as(p), flat.grad[here].view_as(p)
        offset += p.numel()
    return flat


class Run:
    """A model, its optimiser and its averaged weights after some number of steps."""

    def __init__(self, args):
        self.args = args
        with open(args.config) as f:
            self.config = json.load(f)
        if args.task:
            self.model = arms.build(self.config, args.block, not args.one_stage, args.seed)
        else:
            torch.manual_seed(args.seed)
            self.model = MoHViT(self.config, two_stage=not args.one_stage).initialise()
        if args.start:
            self.load_start()
        if args.centre_only:
            arms.keep_centres(self.model)
        parameters = list(self.model.parameters())
        self.flat = [flatten([p for p in parameters if p.ndim >= 2 and min(p.shape) > 1]),  # matrices decay
                     flatten([p for p in parameters if p.ndim < 2 or min(p.shape) == 1])]
        self.averaged = [p.detach().clone() for p in self.flat]
        self.optimiser = torch.optim.AdamW(
            [{"params": [self.flat[0]], "weight_decay": args.weight_decay},
             {"params": [self.flat[1]], "weight_decay": 0.0}], lr=args.lr)
        self.step, self.losses, self.rows, self.seconds = 0, [], [], 0.0  # losses: of the last hundred steps

    def load_start(self):
        tensors, _ = tensor_file.load(self.args.start)
        missing, unexpected = self.model.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
        if unexpected or not all(".attn.wg" in name for name in missing):
            sys.exit(f"train: {self.args.start}: does not fit {self.args.config}: {(missing + unexpected)[:3]}")

    def fingerprint(self):
        """What must be equal for a run to go on."""
        free = ("out", "save_every", "stop_after", "processes", "config", "start")
        return json.dumps({**{k: v for k, v in vars(self.args).items() if k not in free}, "model": self.config},
                          sort_keys=True)

    def save(self, path):
        state = {"fingerprint": self.fingerprint(), "step": self.step, "losses": self.losses, "rows": self.rows,
                 "seconds": self.seconds, "weights": [p.data for p in self.flat], "averaged": self.averaged,
                 "optimiser": self.optimiser.state_dict()}
        tensor_file.replace(path, lambda f: torch.save(state, f))

    def resume(self, path):
        """Goes on from a checkpoint, if there is one."""
        if not os.path.exists(path):
            return
        state = torch.load(path)
        if state["fingerprint"] != self.fingerprint():
            sys.exit(f"train: {path} is of another run:\n  there {state['fingerprint']}\n  here  {self.fingerprint()}")
        self.step, self.losses, self.rows, self.seconds = (state[k] for k in ("step", "losses", "rows", "seconds"))
        for p, saved in zip(self.flat, state["weights"]):
            p.data.copy_(saved)
        self.averaged = state["averaged"]
        self.optimiser.load_state_dict(state["optimiser"])

    def swap_averaged(self):
        """Exchanges the weights and their averages."""
        for p, a in zip(self.flat, self.averaged):
            kept = p.data.clone()
            p.data.copy_(a)
            a.copy_(kept)

    def update(self, rate):
        """One step of AdamW with the gradients that are there."""
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in self.flat))
        if not math.isfinite(norm):
            sys.exit(f"train: step {self.step}: the gradient is not finite")
        for p in self.flat:
            p.grad.mul_(min(1.0, self.args.clip / (norm + 1e-6)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.step += 1
        decay = min(self.args.ema, self.step / (self.step + 10))
        for p, a in zip(self.flat, self.averaged):
            a.lerp_(p.data, 1 - decay)


# ---- Training ------------------------------------------------------------------------------------------------------


class Worker:
    """One of the processes: rank computes its part of each batch, gradients are averaged over all."""

    def __init__(self, args, rank):
        self.args, self.rank, self.count = args, rank, args.processes
        torch.set_num_threads(1)
        self.run = Run(args)
        self.data = (scenes if args.task else fashion_mnist).Training(args, self.run.config["img_size"])
        self.last = self.data.steps

    def rate(self, step):
        """Linear warm-up, then a cosine to zero."""
        warm = self.args.warm_up
        if step < warm:
            return self.args.lr * (step + 1) / warm
        return self.args.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.last - warm)))

    def train_step(self):
        """Returns the loss, without the part that balances."""
        run = self.run
        for p in run.flat:
            p.grad.zero_()
        images, classes = self.data.batch(run.step, slice(self.rank, None, self.count))
        logits, routings = run.model.routed(images)
        loss = F.cross_entropy(logits, classes, label_smoothing=self.args.label_smoothing)
        (loss + balance_loss(routings)).backward()
        loss = loss.detach()
        for value in [loss, *(p.grad for p in run.flat)]:
            if self.count > 1:
                dist.all_reduce(value)
            value.div_(self.count)
        run.update(self.rate(run.step))
        return float(loss)

    def evaluate(self, pictures):
        """Top-1 of the averaged weights in percent. pictures: how many, and a function that gives some of them."""
        self.run.swap_averaged()
        count, some = pictures
        right = torch.zeros(1)
        with torch.no_grad():
            for first in range(self.rank * 100, count, self.count * 100):
                images, classes = some(first, min(count, first + 100))
                right += (self.run.model(images).argmax(1) == classes).sum()
        self.run.swap_averaged()
        if self.count > 1:
            dist.all_reduce(right)
        return 100 * float(right) / count

    def main(self):
        args, run = self.args, self.run
        checkpoint = f"{args.out}/checkpoint.pt"
        run.resume(checkpoint)
        every = args.evaluate_every or self.data.evaluate_every
        end = min(self.last, args.stop_after or self.last)
        parent = os.getppid()
        if args.evaluate_first and run.step == 0 and not run.rows:
            self.report(self.evaluate(self.data.held_out))
        while run.step < end and os.getppid() == parent:
            start = time.process_time()
            run.losses = run.losses[-99:] + [self.train_step()]
            due = run.step % every == 0 or run.step == self.last
            top1 = self.evaluate(self.data.held_out) if due else None
            test = self.evaluate(self.data.test) if args.score_test and run.step == self.last else None
            run.seconds += time.process_time() - start
            if due:
                self.report(top1, test)
            if self.rank == 0 and (due or run.step % args.save_every == 0 or run.step == end):
                run.save(checkpoint)
        if run.step == end and self.rank == 0:
            self.finish()

    def report(self, top1, test=None):
        run = self.run
        row = {"step": run.step, self.data.UNIT: self.data.progress(run.step),
               "loss": round(sum(run.losses) / len(run.losses), 4) if run.losses else None, "top1": round(top1, 2),
               "lr": f"{self.rate(run.step):.3g}", "cpu_seconds": round(run.seconds)}
        if self.args.score_test:
            row["test_top1"] = round(test, 2) if test is not None else None
        run.rows.append(row)
        if self.rank == 0:
            print(*run.rows[-1].values(), sep="\t", flush=True)
            text = io.StringIO()
            writer = csv.DictWriter(text, run.rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(run.rows)
            tensor_file.replace(f"{self.args.out}/log.csv", lambda f: f.write(text.getvalue().encode()))

    def finish(self):
        run = self.run
        run.swap_averaged()
        weights = {name: value.detach().clone() for name, value in run.model.state_dict().items()}
        run.swap_averaged()
        described = {"config": run.config, "preprocess": self.data.preprocess, "labels": self.data.labels}
        if self.args.block != "attention":
            del described["config"]  # the program does not have this network, and must not take it for one that it has
        trained = {self.data.UNIT: self.data.progress(run.step)}
        tensor_file.replace(f"{self.args.out}/model.pth",
                            lambda f: torch.save({"model": weights, **trained, **described}, f))
        tensor_file.save(f"{self.args.out}/model.safetensors", weights,
                         {key: json.dumps(value) for key, value in described.items()})
        draw_curve(run.rows, self.data.UNIT, f"{self.args.out}/curve.svg")


def draw_curve(rows, unit, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mohvit"
    import matplotlib.pyplot as plt

    figure, loss = plt.subplots(figsize=(6, 3.5), layout="constrained")
    along = [r[unit] for r in rows]
    loss.plot(along, [r["loss"] for r in rows], color="C1")
    loss.set_xlabel(unit)
    loss.set_ylabel("training loss", color="C1")
    top1 = loss.twinx()
    top1.plot(along, [r["top1"] for r in rows], color="C0", marker=".")
    top1.set_ylabel("top-1, %", color="C0")
    figure.savefig(path, metadata={"Date": None})


# ---- Processes -----------------------------------------------------------------------------------------------------


def launch(args):
    """Starts a process for each rank, in an environment that has to be there before they start."""
    os.makedirs(args.out, exist_ok=True)
    meeting = os.path.abspath(f"{args.out}/meeting.{os.getpid()}")
    workers = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for rank in range(args.processes):
        environment = {**os.environ, **ENVIRONMENT, WORKER: str(rank), "MOHVIT_TRAIN_MEETING": meeting}
        workers.append(subprocess.Popen([sys.executable, os.path.abspath(__file__), *sys.argv[1:]], env=environment))
    try:
        while any(w.poll() is None for w in workers) and not any(w.returncode for w in workers):
            time.sleep(0.2)
    finally:
        for w in workers:
            if w.poll() is None:
                w.terminate()
        for w in workers:
            w.wait()
        if os.path.exists(meeting):
            os.remove(meeting)
    return max(abs(w.returncode) for w in workers)


def main():
    args = arguments()
    if WORKER not in os.environ:
        sys.exit(launch(args))
    rank = int(os.environ[WORKER])
    if args.processes > 1:
        dist.init_process_group("gloo", f"file://{os.environ['MOHVIT_TRAIN_MEETING']}", timedelta(days=7),
                                args.processes, rank)
    Worker(args, rank).main()


if __name__ == "__main__":
    main()
