"""MoH-ViT as its authors published it: the same parameters, and the steps in which their PyTorch code takes them.

    model = load("model.safetensors")

Whoever runs the published code has these steps: neighbours are unfolded into nine copies of keys and values, the
position bias goes through its two layers for every pair of tokens in each forward pass, and heads that a token does
not select are computed, then multiplied by 0. Shapes: B images, N tokens, C channels, h heads of d channels.
"""

import torch
import torch.nn.functional as F
from torch import nn

import moh_vit


class Attention(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.stage, self.of = of.stage, of  # the parameters stay where they are

    def gates(self, y):  # (B, N, C) -> (B, N, h)
        s, of = self.stage, self.of
        shared = y.new_ones(*y.shape[:2], s.shared)
        if of.wg_1 is not None:
            shared = of.wg_1(y).softmax(-1) * s.shared
        if of.wg is None:
            return shared
        probabilities = of.wg(y).softmax(-1)
        chosen = probabilities.topk(s.routed, -1).indices
        mask = torch.zeros_like(probabilities).scatter_(-1, chosen, 1.0)
        routed = probabilities * mask
        routed = routed / routed.sum(-1, keepdim=True).clamp(min=2.0 ** -23) * s.routed
        if of.wg_0 is not None:
            shared_weight, routed_weight = (2 * of.wg_0(y).softmax(-1)).chunk(2, -1)
            shared, routed = shared * shared_weight, routed * routed_weight
        return torch.cat([shared, routed], -1)

    def heads(self, x, parts):  # (B, M, parts C) -> (B, parts h, M, d)
        return x.view(*x.shape[:2], parts * self.stage.heads, -1).transpose(1, 2)

    def queries(self, normalised):  # (B, h, N, d)
        of = self.of
        return (normalised + of.query_embedding) * F.softplus(of.temperature) * of.log_keys

    def position_bias(self):  # (h, N, K)
        of = self.of
        table = of.cpb_fc2(F.relu(of.cpb_fc1(of.positions)))
        return table.t()[:, of.position_index.view(-1)].view(-1, *of.position_index.shape)

    def neighbours(self, x):  # (B, ., N, d) -> (B, ., N, d, 9), zeros outside the map
        b, m, n, d = x.shape
        side = self.stage.side
        unfolded = F.unfold(x.transpose(2, 3).reshape(b, m * d, side, side), 3, padding=1)
        return unfolded.view(b, m, d, 9, n).permute(0, 1, 4, 2, 3)

    def pooled(self, y):  # (B, N, C) -> (B, P², C)
        b, n, c = y.shape
        s, of = self.stage, self.of
        grid = F.gelu(of.sr(y.transpose(1, 2).reshape(b, c, s.side, s.side)))
        return of.norm(F.adaptive_avg_pool2d(grid, s.pooled_side).flatten(2).transpose(1, 2))

    def global_attention(self, y):
        q, k, v = self.heads(self.of.qkv(y), 3).chunk(3, 1)
        scores = self.queries(F.normalize(q, dim=-1)) @ F.normalize(k, dim=-1).transpose(-2, -1) + self.position_bias()
        return scores.softmax(-1) @ v

    def aggregated_attention(self, y):
        of = self.of
        q = F.normalize(self.heads(of.q(y), 1), dim=-1)
        scaled = self.queries(q)
        k, v = self.heads(of.kv(y), 2).chunk(2, 1)
        near_k, near_v = self.neighbours(torch.cat([F.normalize(k, dim=-1), v], 1)).chunk(2, 1)
        near = (scaled.unsqueeze(-2) @ near_k).squeeze(-2) + of.relative_pos_bias_local.unsqueeze(1)
        near = near.masked_fill((of.inside == 0).view(9, -1).t(), float("-inf"))
        k, v = self.heads(of.kv(self.pooled(y)), 2).chunk(2, 1)
        far = scaled @ F.normalize(k, dim=-1).transpose(-2, -1) + self.position_bias()
        near, far = torch.cat([near, far], -1).softmax(-1).split([9, far.shape[-1]], -1)
        near = q @ of.learnable_tokens + of.learnable_bias + near
        return (near.unsqueeze(-2) @ near_v.transpose(-2, -1)).squeeze(-2) + far @ v

    def forward(self, y):  # (B, N, C); the second answer, a block's routing, is not kept here
        s = self.stage
        heads = self.aggregated_attention(y) if s.pooled_side else self.global_attention(y)
        heads = heads.transpose(1, 2)  # (B, N, h, d)
        if not s.dense:
            heads = torch.einsum("bnhd,bnh->bnhd", heads, self.gates(y))
        return self.of.proj(heads.reshape(y.shape)), None


class ConvGLU(nn.Module):
    def __init__(self, of):
        super().__init__()
        self.side, self.fc1, self.conv, self.fc2 = of.side, of.fc1, of.dwconv.dwconv, of.fc2

    def forward(self, y):  # (B, N, C)
        u, v = self.fc1(y).chunk(2, -1)
        grid = u.transpose(1, 2).reshape(len(u), -1, self.side, self.side)
        return self.fc2(F.gelu(self.conv(grid).flatten(2).transpose(1, 2)) * v)


def published_form(model):
    """Changes a MoHViT in place, which then answers as before, but is not to be trained."""
    for stage in model.stages:
        for block in getattr(model, f"block{stage.number}"):
            block.attn, block.mlp = Attention(block.attn), ConvGLU(block.mlp)
    return model.requires_grad_(False)


def load(path):
    """The model of a safetensors file that describes itself, in the steps of the published code."""
    return published_form(moh_vit.load(path))
