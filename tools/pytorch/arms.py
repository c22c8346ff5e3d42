"""The arms of the study: the same network with something else in the place of attention."""

import torch.nn.functional as F
from torch import nn

from moh_vit import TOKEN_EPS, Attention, Block, ConvGLU, DepthwiseConv, MoHViT, Routing, apply


class UniformAttention(Attention):
    """All keys that attention has weigh the same, in every head and for every token. Queries, keys and what belongs to
    them are there, so that the tensors are those of a dense model, but are never used."""

    def values(self, linear, y):  # (C, N, B), of the last C outputs
        c = self.stage.channels
        return apply(linear.weight[-c:], y, linear.bias[-c:])

    def global_attention(self, y):  # (C, N, B) -> (h, d, N, B)
        v = self.values(self.qkv, y)
        return self.heads(v.mean(1, keepdim=True).expand_as(v))

    def aggregated_attention(self, y):  # (C, N, B) -> (h, d, N, B)
        s = self.stage
        v = self.values(self.kv, y).unflatten(1, (s.side, s.side))
        v = F.pad(v, (0, 0, 1, 1, 1, 1))
        v = v[:, :-2] + v[:, 1:-1] + v[:, 2:]
        v = v[:, :, :-2] + v[:, :, 1:-1] + v[:, :, 2:]  # (C, H, W, B), sums of the neighbours inside the image
        pooled = self.values(self.kv, self.pooled_map(y)).sum(1, keepdim=True)
        return self.heads((v.flatten(1, 2) + pooled) / self.keys)

    def _constants(self):
        super()._constants()
        self.register_buffer("keys", self.log_keys.exp().round(), persistent=False)  # (N, 1)


class UniformBlock(Block):
    attention = UniformAttention


class ConvBlock(nn.Module):
    """A block without attention."""

    def __init__(self, stage, two_stage):
        super().__init__()
        self.norm2, self.mlp = nn.LayerNorm(stage.channels, eps=TOKEN_EPS), ConvGLU(stage)

    def forward(self, x):
        return x + self.mlp(self.norm2(x)), Routing(None, None, None, None)


BLOCKS = {"attention": Block, "uniform": UniformBlock, "none": ConvBlock}


def build(config, block="attention", two_stage=True, seed=0):
    """An arm as it starts."""
    return MoHViT(config, two_stage, BLOCKS[block]).initialise_by_name(seed)


def keep_centres(model):
    """Leaves the centre taps of all depthwise kernels alone; returns the model."""
    for module in model.modules():
        if isinstance(module, DepthwiseConv):
            module.keep_centre()
    return model
