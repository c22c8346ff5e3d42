"""Training runs by name: made once, their logs kept in tools/pytorch/runs, their models in --out."""

import csv
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LOGS = f"{HERE}/runs"
TEST_SET = "idx:{0}/t10k-images-idx3-ubyte.gz,{0}/t10k-labels-idx1-ubyte.gz".format("/usr/share/datasets/fashion-mnist")

# Of every run, so that differences are those of the model. 0.27 M parameters.
SMALL = {"embed_dims": [16, 32, 64, 80], "num_heads": [4, 4, 8, 8], "depths": [1, 1, 2, 1], "mlp_ratios": [3, 3, 3, 3],
         "sr_ratios": [8, 4, 2, 1], "num_classes": 10, "img_size": 64}


def heads(shared, routed):
    """SMALL as a MoH model."""
    return {**SMALL, "shared_head": shared, "routed_head": routed}


def log_path(name):
    return f"{LOGS}/{name}.csv"


def is_finished(name):
    return os.path.exists(log_path(name))


def train(name, config, out, *options):
    """Trains, or goes on, unless the log says that it was done; returns the model's path."""
    directory = f"{out}/{name}"
    model = f"{directory}/model.safetensors"
    if is_finished(name) and not os.path.exists(model):
        sys.exit(f"{name}: {log_path(name)} says that it was trained, but there is no {model}; name the --out that it "
                 "was trained to, or remove the log to train it again")
    if not is_finished(name):
        print(f"== {name}", flush=True)
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/config.json", "w") as f:
            json.dump(config, f)
        subprocess.run([sys.executable, f"{HERE}/train.py", "--config", f"{directory}/config.json", "--out", directory,
                        *options], check=True)
        os.makedirs(LOGS, exist_ok=True)
        shutil.copyfile(f"{directory}/log.csv", log_path(name) + ".part")
        os.replace(log_path(name) + ".part", log_path(name))
    return model


def read_csv(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return list(csv.DictReader(f))


def write_csv(path, rows):
    with open(f"{path}.part", "w") as f:
        writer = csv.DictWriter(f, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(f"{path}.part", path)


def ask(program, *arguments):
    """The one line of JSON that a command of the C program prints."""
    return json.loads(subprocess.run([program, *arguments, "--format", "json"], stdout=subprocess.PIPE, check=True).stdout)
