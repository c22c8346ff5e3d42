"""MoH-ViT as one would deploy it in PyTorch: the same parameters, laid out for speed instead of for gradients.

    model = load("model.safetensors")
    export(model, "model.onnx")

Two modules of a block are replaced. What depends on weights alone is computed once, products of all keys are one
batched product, heads come first in memory, and there is no autograd function, which no exporter understands. Sizes
are numbers and not read from tensors: the exporter traces what reads them, and its time grows as the square of what it
traced. Images come first here: (B, h, N, d). Every head is computed and then weighted, as in the published code.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import nn

import moh_vit

PADDING = (0, 0, 1, 1, 1, 1)  # of a map (..., H, W, d): one token on each side


def top_k_mask(logits, k):
    """1 for the k largest of the last dimension. Exact ties, which never decide here, would all be picked."""
    return (logits >= logits.topk(k, -1).values[..., -1:]).to(logits.dtype)


class Router(nn.Module):
    def __init__(self, attention):
        super().__init__()
        s = self.stage = attention.stage
        layers = [getattr(attention, name) for name in ("wg_1", "wg", "wg_0")]
        # One product for the three. A single shared head has no logit, and its weight is 1.
        self.sizes = [len(layer.weight) if layer is not None else 0 for layer in layers]
        self.register_buffer("weight", torch.cat([layer.weight for layer in layers if layer is not None])
                             if any(self.sizes) else None)
        self.register_buffer("ones", torch.ones(1, 1, s.shared))

    def forward(self, y):  # (B, N, C) -> gates (B, N, h), or 1
        s = self.stage
        if self.weight is None:
            return self.ones
        shared, logits, balance = F.linear(y, self.weight).split(self.sizes, -1)
        shared = shared.softmax(-1) * s.shared if self.sizes[0] else self.ones
        if not s.routed:
            return shared
        chosen = logits.softmax(-1) * top_k_mask(logits, s.routed)
        routed = chosen / chosen.sum(-1, keepdim=True).clamp(min=2.0 ** -23) * s.routed
        if not s.shared:
            return routed
        balance = 2 * balance.softmax(-1)
        gates = [shared * balance[..., :1], routed * balance[..., 1:]]
        return torch.cat(gates, -1)


class Attention(nn.Module):
    def __init__(self, of):
        super().__init__()
        s = self.stage = of.stage
        self.tokens, self.width = s.side ** 2, s.channels // s.heads
        self.router, self.proj = None if s.dense else Router(of), of.proj
        if s.pooled_side:
            self.q, self.kv, self.sr, self.norm = of.q, of.kv, of.sr, of.norm
            self.register_buffer("pool", of.pool)
            self.register_buffer("pool_weight", of.sr.weight.flatten(1))
            local = of.relative_pos_bias_local.view(-1, 9, 1) + of.outside.view(1, 9, -1)
            self.register_buffer("local_bias", local.transpose(1, 2).contiguous())  # (h, N, 9)
            self.learnable_tokens, self.learnable_bias = of.learnable_tokens, of.learnable_bias
        else:
            self.qkv = of.qkv
        self.register_buffer("embedding", of.query_embedding)  # (h, 1, d)
        self.register_buffer("scale", F.softplus(of.temperature) * of.log_keys)  # (h, N, 1)
        self.register_buffer("bias", of.position_bias().squeeze(-1).transpose(1, 2).contiguous())  # (h, N, K)

    def heads(self, x, parts, tokens):  # (B, N, parts C) -> (B, h, N, d), as many as parts
        return x.view(-1, tokens, parts, self.stage.heads, self.width).permute(2, 0, 3, 1, 4).unbind(0)

    def as_map(self, x, width):  # (B, h, N, width) -> (B, h, H, W, width)
        return x.reshape(-1, self.stage.heads, self.stage.side, self.stage.side, width)

    def as_tokens(self, x, width):  # and back
        return x.view(-1, self.stage.heads, self.tokens, width)

    def queries(self, q):
        return (q + self.embedding) * self.scale

    def global_attention(self, y):
        q, k, v = self.heads(self.qkv(y), 3, self.tokens)
        scores = self.queries(unit(q)) @ unit(k).transpose(-2, -1) + self.bias
        return scores.softmax(-1) @ v

    def keys_and_values(self, y, tokens):
        k, v = self.heads(self.kv(y), 2, tokens)
        return unit(k), v

    def neighbours(self, x):  # (B, h, N, d) -> nine maps (B, h, H, W, d), 0 outside, in the order of NEIGHBOURS
        padded = F.pad(self.as_map(x, self.width), PADDING)
        rows = [padded.narrow(2, dy, self.stage.side) for dy in range(3)]
        return [row.narrow(3, dx, self.stage.side) for row in rows for dx in range(3)]

    def aggregated_attention(self, y):
        q = unit(self.heads(self.q(y), 1, self.tokens)[0])
        scaled = self.queries(q)
        k, v = self.keys_and_values(y, self.tokens)
        pooled = self.norm(self.pool @ F.gelu(F.linear(y, self.pool_weight, self.sr.bias)))
        k_pool, v_pool = self.keys_and_values(pooled, self.stage.pooled_side ** 2)
        query_map = self.as_map(scaled, self.width)
        local = torch.stack([(query_map * key).sum(-1) for key in self.neighbours(k)], -1)
        scores = torch.cat([self.as_tokens(local, 9) + self.local_bias,
                            scaled @ k_pool.transpose(-2, -1) + self.bias], -1)
        near, far = scores.softmax(-1).split([9, self.bias.shape[-1]], -1)
        near = self.as_map(near + q @ self.learnable_tokens + self.learnable_bias, 9)
        values = sum(near.narrow(-1, j, 1) * value for j, value in enumerate(self.neighbours(v)))
        return self.as_tokens(values, self.width) + far @ v_pool

    def forward(self, y):  # (B, N, C); the second answer, a block's routing, is not kept here
        heads = self.aggregated_attention(y) if self.stage.pooled_side else self.global_attention(y)
        heads = heads.transpose(1, 2)  # (B, N, h, d)
        if self.router is not None:
            heads = heads * self.router(y).unsqueeze(-1)
        return self.proj(heads.reshape(-1, self.tokens, self.stage.channels)), None


class ConvGLU(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.side, self.fc1, self.dwconv, self.fc2 = of.side, of.fc1, of.dwconv, of.fc2

    def forward(self, y):
        u, v = self.fc1(y).chunk(2, -1)
        return self.fc2(F.gelu(self.dwconv(u, self.side)) * v)


def unit(x):
    return x * x.square().sum(-1, keepdim=True).clamp(min=1e-24).rsqrt()


def inference_form(model):
    """Changes a MoHViT in place, which then answers as before, but cannot be trained."""
    with torch.no_grad():
        for stage in model.stages:
            for block in getattr(model, f"block{stage.number}"):
                block.attn, block.mlp = Attention(block.attn), ConvGLU(block.mlp)
    return model.requires_grad_(False)


def load(path):
    """The model of a safetensors file that describes itself, in its inference form."""
    return inference_form(moh_vit.load(path))


def frozen(model, pixels):
    """A model in its inference form as TorchScript with constant weights, for batches of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that become constants, as they are meant to
        return torch.jit.freeze(torch.jit.trace(model.eval(), pixels, check_trace=False))


def export(model, path, pixels):
    """Writes a model in its inference form as ONNX, for batches of any size; pixels are any two images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants that are not folded
        torch.onnx.export(model, (pixels,), path, opset_version=17, input_names=["pixels"], output_names=["logits"],
                          dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}})
