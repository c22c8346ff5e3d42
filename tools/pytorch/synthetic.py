"""The deterministic weights and inputs of spec 6."""

import math

import numpy as np
import torch


def uniform(name, shape, seed):
    """float64 in [-1, 1), a function of name, seed and place alone."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2 ** 64
    with np.errstate(over="ignore"):
        z = np.uint64(key ^ seed) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)) * 2.0 ** -23 - 1).reshape(shape)


def weight(name, shape, seed):
    """float32, as every implementation has it."""
    u = uniform(name, shape, seed)
    owner, leaf = ([""] + name.split("."))[-2:]
    if leaf == "temperature":
        u = math.log(math.exp(1 / 0.24) - 1) + 0.5 * u
    elif leaf in ("query_embedding", "relative_pos_bias_local", "learnable_tokens", "learnable_bias"):
        u = 0.05 * u
    elif owner.startswith("norm") and leaf == "weight":
        u = 1 + 0.2 * u
    elif leaf == "bias":
        u = 0.1 * u
    else:
        in_block = name.startswith("block")
        scale = {"wg": 2, "wg_0": 2, "wg_1": 2, "head": 4}.get(owner, 0.25 if in_block and owner in ("proj", "fc2") else 1)
        u = scale * math.sqrt(3 / math.prod(shape[1:])) * u
    return torch.from_numpy(u.astype(np.float32))


def fill(model, seed):
    """Gives a model its synthetic weights."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(weight(name, tuple(value.shape), seed))
    return model


def pixels(batch, size, seed):
    return torch.from_numpy((2 * uniform("input", (batch, 3, size, size), seed)).astype(np.float32))
