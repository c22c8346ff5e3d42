"""MoH-ViT and dense TransNeXt in PyTorch: the network of spec 1 to 3, to train it and as a second opinion.

    model = MoHViT(config)           # config: the JSON object of spec 1
    model = load(path)               # of a safetensors file that names its config
    logits = model(pixels)           # (B, 3, S, S) -> (B, classes)
    logits, routings = model.routed(pixels)
    loss = loss_function(logits, labels) + balance_loss(routings)

Parameters have the names of spec 3. Letters: B images, N = H W tokens, C channels, h heads, d = C / h, E routed
heads to choose from, K keys. The residual stream is (B, N, C). Inside attention the images come last, (h, d, N, B):
a neighbour or a pooled key is then a slice with long rows, products stay whole, and nothing is unfolded.
"""

import hashlib
import json
import math
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import nn

import tensor_file

TOKEN_EPS, MAP_EPS = 1e-6, 1e-5  # of LayerNorm: in blocks and after stages; in patch embedding and of the pooled map
BALANCE_WEIGHT = 0.01
SPREAD = {"query_embedding": 0.02, "relative_pos_bias_local": 0.0004, "learnable_tokens": 0.02}  # at the start
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


# ---- Configuration -------------------------------------------------------------------------------------------------


class StageConfig(NamedTuple):
    """What one stage needs of the config (spec 1)."""

    number: int  # from 1
    channels: int
    heads: int
    depth: int
    mlp_ratio: float
    side: int  # of the square of tokens
    pooled_side: int  # 0: global attention
    trained_side: int  # that the position bias was trained at
    shared: int
    routed: int
    dense: bool


def stage_configs(config):
    """The four stages of a config. Raises ValueError where it is not one of spec 1."""
    size = config["img_size"]
    dense = config.get("dense", False)
    stages = []
    for i in range(4):
        heads, ratio, channels = config["num_heads"][i], config["sr_ratios"][i], config["embed_dims"][i]
        shared, routed = (heads, 0) if dense else (config["shared_head"][i], config["routed_head"][i])
        side = size // 2 ** (i + 2)
        pooled = 0 if ratio == 1 else config.get("fixed_pool_size") or side // ratio
        if channels % heads:
            raise ValueError(f"stage {i + 1}: {channels} channels are not divisible by {heads} heads")
        if shared < 0 or routed < 0 or shared + routed > heads or (routed == 0 and shared != heads):
            raise ValueError(f"stage {i + 1}: {shared} shared and {routed} routed of {heads} heads")
        if ratio > 1 and pooled < 1:
            raise ValueError(f"stage {i + 1}: a side of {side} cannot be pooled by {ratio}")
        trained = (config.get("pretrain_size") or size) // 2 ** (i + 2)
        stages.append(StageConfig(i + 1, channels, heads, config["depths"][i], config["mlp_ratios"][i], side, pooled,
                                  trained, shared, routed, dense))
    return stages


# ---- Router --------------------------------------------------------------------------------------------------------


class Routing(NamedTuple):
    """What one block decided. Without a router logits and probabilities are None."""

    gates: torch.Tensor  # (h, N, B), 0 where not selected
    selected: torch.Tensor  # (h, N, B), 1 or 0
    logits: Optional[torch.Tensor]  # (E, N, B) of the routed heads
    probabilities: Optional[torch.Tensor]  # (E, N, B), their softmax before anything is left out


def top_k_mask(logits, k):
    """1 for the k largest of each column of logits (E, ...), ties to the lower index, NaN last.

    Counts for each head those ahead of it: exact, and faster than sorting E values a million times."""
    ranked = torch.where(logits.isnan(), torch.full_like(logits, -math.inf), logits)
    ahead = []
    for i in range(len(ranked)):
        ahead.append((ranked[:i] >= ranked[i]).sum(0) + (ranked[i + 1:] > ranked[i]).sum(0))
    return (torch.stack(ahead) < k).to(logits.dtype)


class Router(nn.Module):
    """Weights of the heads, token by token (spec 2, Router; MoH, eq. 5-8). Its three matrices belong to the
    attention's names, so they live there and are passed in."""

    def __init__(self, stage, two_stage=True):
        super().__init__()
        self.stage, self.two_stage = stage, two_stage

    def forward(self, y, wg, wg_0, wg_1):  # y (C, N, B)
        s = self.stage
        ones = y.new_ones(s.shared, *y.shape[1:])
        shared, selected, logits, probabilities = ones, ones, None, None
        if wg_1 is not None:
            shared = apply(wg_1, y).softmax(0) * s.shared
        if wg is None:
            return Routing(shared, selected, None, None)

        logits = apply(wg, y)
        probabilities = logits.softmax(0)
        mask = top_k_mask(logits.detach(), s.routed)
        chosen = probabilities * mask
        routed = chosen / chosen.sum(0).clamp(min=2.0 ** -23) * s.routed
        if wg_0 is not None and self.two_stage:
            balance = 2 * apply(wg_0, y).softmax(0)
            shared, routed = shared * balance[0], routed * balance[1]
        return Routing(torch.cat([shared, routed]), torch.cat([selected, mask]), logits, probabilities)


def balance_loss(routings):
    """The load-balance loss of the blocks that route (MoH, eq. 10): a mean over blocks of
    E² · mean over heads of (mean probability · share of tokens that selected the head), times 0.01."""
    losses = []
    for r in routings:
        if r.logits is None:
            continue
        candidates = len(r.logits)
        importance = r.probabilities.mean((1, 2))
        load = r.selected[-candidates:].mean((1, 2))
        losses.append(candidates ** 2 * (importance * load).mean())
    return BALANCE_WEIGHT * torch.stack(losses).mean() if losses else torch.zeros(())


class GELU(torch.autograd.Function):
    """Exact GELU of a tensor and a gradient that lie alike in memory. PyTorch 1.13 hands both to oneDNN unlooked at,
    and where they lie differently the result is whatever was in memory: gradients a million times too large, or NaN."""

    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        ctx.save_for_backward(x)
        return F.gelu(x)

    @staticmethod
    def backward(ctx, g):
        return torch.ops.aten.gelu_backward(g.contiguous(), *ctx.saved_tensors)


# ---- Attention -----------------------------------------------------------------------------------------------------


def apply(weight, x, bias=None):
    """A linear layer on channels first: weight (C', C), x (C, ...), bias (C')."""
    flat = x.reshape(len(x), -1)
    out = weight @ flat if bias is None else torch.addmm(bias[:, None], weight, flat)
    return out.view(len(weight), *x.shape[1:])


def apply_parts(linear, x, parts):
    """The outputs of a linear layer in equal parts, each a product of its own, so that no gradients are joined."""
    return [apply(w, x, b) for w, b in zip(linear.weight.chunk(parts), linear.bias.chunk(parts))]


def overlaps(height, width):
    """For each neighbour: its index, the slices of the tokens that have it, and the slices where it lies."""
    def pair(step, side):
        return slice(max(0, -step), side - max(0, step)), slice(max(0, step), side - max(0, -step))

    for j, (dy, dx) in enumerate(NEIGHBOURS):
        (y, y_there), (x, x_there) = pair(dy, height), pair(dx, width)
        yield j, (slice(None), slice(None), y, x), (slice(None), slice(None), y_there, x_there)


def neighbour_products(q, k):
    """q, k (h, d, H, W, B) -> (h, 9, H, W, B): q of a token times k of each neighbour, 0 outside the image."""
    out = q.new_zeros(q.shape[0], len(NEIGHBOURS), *q.shape[2:])
    for j, here, there in overlaps(*q.shape[2:4]):
        out[:, j:j + 1][here] = (q[here] * k[there]).sum(1, keepdim=True)
    return out


def neighbour_sums(a, v):
    """a (h, 9, H, W, B), v (h, d, H, W, B) -> (h, d, H, W, B): the neighbours' v weighted by a."""
    out = torch.zeros_like(v)
    for j, here, there in overlaps(*v.shape[2:4]):
        out[here].addcmul_(a[:, j:j + 1][here], v[there])
    return out


def neighbour_sums_transposed(a, g):
    """The transpose of neighbour_sums for fixed a: what each token, as a neighbour, receives of g (h, d, H, W, B)."""
    out = torch.zeros_like(g)
    for j, here, there in overlaps(*g.shape[2:4]):
        out[there].addcmul_(a[:, j:j + 1][here], g[here])
    return out


class NeighbourProducts(torch.autograd.Function):
    """neighbour_products with a backward pass that adds in place: autograd's own makes a full map for each slice."""

    @staticmethod
    def forward(ctx, q, k):
        ctx.save_for_backward(q, k)
        return neighbour_products(q, k)

    @staticmethod
    def backward(ctx, g):
        q, k = ctx.saved_tensors
        return neighbour_sums(g, k), neighbour_sums_transposed(g, q)


class NeighbourSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, v):
        ctx.save_for_backward(a, v)
        return neighbour_sums(a, v)

    @staticmethod
    def backward(ctx, g):
        a, v = ctx.saved_tensors
        return neighbour_products(g, v), neighbour_sums_transposed(a, g)


def key_products(q, k):
    """q (h, d, N, B), k (h, d, K, B) -> (h, K, N, B). Small K, many images: rows of B beat K tiny matrices each."""
    return torch.stack([(q * key.unsqueeze(2)).sum(1) for key in k.unbind(2)], 1)


def key_sums(a, v):
    """a (h, K, N, B), v (h, d, K, B) -> (h, d, N, B)."""
    return sum(weight.unsqueeze(1) * value.unsqueeze(2) for weight, value in zip(a.unbind(1), v.unbind(2)))


def unit(x):  # (h, d, ...): L2-normalised over d
    return x * x.square().sum(1, keepdim=True).clamp(min=1e-24).rsqrt()


def pooling(side, cells):
    """(cells², side²): adaptive average pool of a map, one row a cell (spec 2)."""
    axis = torch.zeros(cells, side, dtype=torch.float64)
    for i in range(cells):
        first, end = i * side // cells, -(-(i + 1) * side // cells)
        axis[i, first:end] = 1 / (end - first)
    return torch.kron(axis, axis)


def relative_positions(side, key_side, trained_side):
    """Distinct positions of keys as queries see them (M, 2) and which of them each pair has (N, K): spec 2,
    Continuous position bias."""
    def grid(axis):
        return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).view(-1, 2)

    queries = torch.arange(side, dtype=torch.float64)
    cells = grid(queries)
    keys = pooling(side, key_side) @ cells if key_side else cells
    # Rounded, so that sums in another order are the same position.
    r = ((cells[:, None] - keys[None]) * 2 ** 20).round() / 2 ** 20 / (trained_side - 1) * 8
    r = r.sign() * (r.abs() + 1).log2() / 3
    distinct, index = r.view(-1, 2).unique(dim=0, return_inverse=True)
    return distinct, index.view(len(cells), -1)


class Attention(nn.Module):
    """Aggregated attention, or global where keys are not pooled (spec 2), each head weighted by its gate."""

    def __init__(self, stage, two_stage):
        super().__init__()
        c, h, s = stage.channels, stage.heads, stage
        d = c // h
        self.stage, self.router = stage, Router(stage, two_stage)
        self.temperature = nn.Parameter(torch.full((h, 1, 1), math.log(math.exp(1 / 0.24) - 1)))
        self.query_embedding = nn.Parameter(torch.randn(h, 1, d) * SPREAD["query_embedding"])
        if s.pooled_side:
            self.relative_pos_bias_local = nn.Parameter(torch.randn(h, 9) * SPREAD["relative_pos_bias_local"])
            self.learnable_tokens = nn.Parameter(torch.randn(h, d, 9) * SPREAD["learnable_tokens"])
            self.learnable_bias = nn.Parameter(torch.zeros(h, 1, 9))
            self.q, self.kv = nn.Linear(c, c), nn.Linear(c, 2 * c)
        else:
            self.qkv = nn.Linear(c, 3 * c)
        self.proj = nn.Linear(c, c)
        if s.pooled_side:
            self.sr, self.norm = nn.Conv2d(c, c, 1), nn.LayerNorm(c, eps=MAP_EPS)
        self.cpb_fc1, self.cpb_fc2 = nn.Linear(2, 512), nn.Linear(512, h)
        candidates = h - s.shared
        self.wg = nn.Linear(c, candidates, bias=False) if s.routed else None
        self.wg_0 = nn.Linear(c, 2, bias=False) if s.routed and s.shared else None
        self.wg_1 = nn.Linear(c, s.shared, bias=False) if s.shared > 1 and not s.dense else None
        self._constants()

    def _constants(self):
        s = self.stage
        positions, index = relative_positions(s.side, s.pooled_side, s.trained_side)
        constants = {"positions": positions, "position_index": index}
        if s.pooled_side:
            inside = neighbour_products(*[torch.ones(1, 1, s.side, s.side, 1, dtype=torch.float64)] * 2)
            constants["pool"] = pooling(s.side, s.pooled_side)
            constants["outside"] = torch.zeros_like(inside).masked_fill(inside == 0, -math.inf)
            constants["inside"] = inside
            keys = inside.sum(1).view(s.side ** 2, 1) + s.pooled_side ** 2
        else:
            keys = torch.full((s.side ** 2, 1), float(s.side ** 2), dtype=torch.float64)
        constants["log_keys"] = keys.log()  # (N, 1)
        for name, value in constants.items():
            # Of float64 and float32 models alike the constants are what float64 gives.
            value = value if value.dtype == torch.int64 else value.to(torch.get_default_dtype())
            self.register_buffer(name, value, persistent=False)

    def position_bias(self):  # (h, K, N, 1)
        table = self.cpb_fc2(F.relu(self.cpb_fc1(self.positions)))
        return table[self.position_index].permute(2, 1, 0).unsqueeze(-1)

    def queries(self, q):
        """q (h, d, N, B), normalised -> scaled by temperature and by how many keys there are."""
        scale = F.softplus(self.temperature).unsqueeze(-1) * self.log_keys  # (h, 1, N, 1)
        return (q + self.query_embedding.transpose(1, 2).unsqueeze(-1)) * scale

    def heads(self, x):  # (C, N, B) -> (h, d, N, B)
        return x.view(self.stage.heads, -1, *x.shape[1:])

    def global_attention(self, y):  # (C, N, B) -> (h, d, N, B)
        q, k, v = map(self.heads, apply_parts(self.qkv, y, 3))
        scores = key_products(self.queries(unit(q)), unit(k)) + self.position_bias()
        return key_sums(scores.softmax(1), v)

    def keys_and_values(self, y):
        k, v = map(self.heads, apply_parts(self.kv, y, 2))
        return unit(k), v

    def pooled_map(self, y):  # (C, N, B) -> (C, P², B)
        m = GELU.apply(apply(self.sr.weight.flatten(1), y, self.sr.bias))
        return self.norm((self.pool @ m).permute(1, 2, 0)).permute(2, 0, 1)

    def aggregated_attention(self, y):  # (C, N, B) -> (h, d, N, B)
        h, side, b = self.stage.heads, self.stage.side, y.shape[-1]

        def as_map(x):  # (h, ., N, B) -> (h, ., H, W, B)
            return x.reshape(*x.shape[:2], side, side, b)

        q = unit(self.heads(apply(self.q.weight, y, self.q.bias)))
        scaled = self.queries(q)
        k, v = self.keys_and_values(y)
        k_pool, v_pool = self.keys_and_values(self.pooled_map(y))
        local = NeighbourProducts.apply(as_map(scaled), as_map(k))
        local = local + (self.relative_pos_bias_local.view(h, 9, 1, 1, 1) + self.outside)
        pooled = key_products(scaled, k_pool) + self.position_bias()
        a_local, a_pool = torch.cat([local.flatten(2, 3), pooled], 1).softmax(1).split([9, pooled.shape[1]], 1)
        learnt = self.learnable_tokens.transpose(1, 2) @ q.flatten(2) + self.learnable_bias.transpose(1, 2)
        weights = a_local + learnt.view_as(a_local)
        return NeighbourSums.apply(as_map(weights), as_map(v)).flatten(2, 3) + key_sums(a_pool, v_pool)

    def forward(self, y):  # (B, N, C)
        b, n, c = y.shape
        y = y.transpose(0, 1).reshape(n * b, c).t().unflatten(1, (n, b))  # (C, N, B), a view of rows of C
        heads = self.aggregated_attention(y) if self.stage.pooled_side else self.global_attention(y)
        if self.stage.dense:
            ones = y.new_ones(self.stage.heads, n, b)
            routing = Routing(ones, ones, None, None)
        else:
            routing = self.router(y, *(w.weight if w is not None else None for w in (self.wg, self.wg_0, self.wg_1)))
            heads = heads * routing.gates.unsqueeze(1)
        out = self.proj(heads.reshape(c, n * b).t())
        return out.view(n, b, c).transpose(0, 1), routing


# ---- The network ---------------------------------------------------------------------------------------------------


class DepthwiseConv(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.centre_only = False

    def keep_centre(self):
        """From now on the other eight taps are 0, and no gradient comes to them: no token sees another here."""
        self.centre_only = True
        with torch.no_grad():
            taps = self.dwconv.weight.view(-1, 9)
            taps[:, :4], taps[:, 5:] = 0, 0

    def forward(self, x, side):  # (B, N, C), which is NHWC as it lies
        if self.centre_only:
            return x * self.dwconv.weight[:, 0, 1, 1] + self.dwconv.bias
        b, n, c = x.shape
        x = self.dwconv(x.view(b, side, side, c).permute(0, 3, 1, 2))
        return x.permute(0, 2, 3, 1).reshape(b, n, c)


class ConvGLU(nn.Module):
    def __init__(self, stage):
        super().__init__()
        c = stage.channels
        hidden = 2 * int(c * stage.mlp_ratio) // 3
        self.side = stage.side
        self.fc1, self.dwconv, self.fc2 = nn.Linear(c, 2 * hidden), DepthwiseConv(hidden), nn.Linear(hidden, c)

    def forward(self, y):  # (B, N, C)
        # Two products: halves of one would lie apart in memory, and their gradients would have to be joined.
        u, v = (F.linear(y, w, b) for w, b in zip(self.fc1.weight.chunk(2), self.fc1.bias.chunk(2)))
        return self.fc2(GELU.apply(self.dwconv(u, self.side)) * v)


class Block(nn.Module):
    attention = Attention

    def __init__(self, stage, two_stage):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(stage.channels, eps=TOKEN_EPS), self.attention(stage, two_stage)
        self.norm2, self.mlp = nn.LayerNorm(stage.channels, eps=TOKEN_EPS), ConvGLU(stage)

    def forward(self, x):
        out, routing = self.attn(self.norm1(x))
        x = x + out
        return x + self.mlp(self.norm2(x)), routing


class PatchEmbed(nn.Module):
    def __init__(self, previous, stage):
        super().__init__()
        kernel, stride = (7, 4) if stage.number == 1 else (3, 2)
        self.proj = nn.Conv2d(previous, stage.channels, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(stage.channels, eps=MAP_EPS)

    def forward(self, x):  # (B, C', ., .), -> (B, N, C)
        return self.norm(self.proj(x).flatten(2).transpose(1, 2))


class MoHViT(nn.Module):
    """The whole network. two_stage=False is the paper's ablation: wg_0 is there, but its answer is (1, 1). A study puts
    other blocks in the place of these."""

    def __init__(self, config, two_stage=True, block=Block):
        super().__init__()
        self.stages = stage_configs(config)
        previous = 3
        for s in self.stages:
            setattr(self, f"patch_embed{s.number}", PatchEmbed(previous, s))
            setattr(self, f"block{s.number}", nn.ModuleList(block(s, two_stage) for _ in range(s.depth)))
            setattr(self, f"norm{s.number}", nn.LayerNorm(s.channels, eps=TOKEN_EPS))
            previous = s.channels
        self.head = nn.Linear(previous, config["num_classes"])

    def initialise(self):
        """Random weights to train from; PyTorch's own are for wider layers."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                fan_in = module.weight[0].numel()
                nn.init.trunc_normal_(module.weight, std=fan_in ** -0.5, a=-2, b=2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        return self

    def initialise_by_name(self, seed):
        """Random weights likewise, but each tensor is a function of seed and its name: models that share a tensor, as
        the arms of a study do, start from the same one."""
        with torch.no_grad():
            for name, p in self.named_parameters():
                digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
                generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
                leaf = name.split(".")[-1]
                if leaf in SPREAD:
                    p.normal_(0, SPREAD[leaf], generator=generator)
                elif leaf == "weight" and p.ndim > 1:
                    p.normal_(0, 0.02 if name == "head.weight" else p[0].numel() ** -0.5, generator=generator)
                elif leaf == "bias":
                    p.zero_()
        return self

    def routed(self, pixels, trace=None):
        """pixels (B, 3, S, S) -> logits (B, classes) and a Routing of each block; trace(name, tokens) sees each."""
        x, routings = pixels, []
        for s in self.stages:
            x = getattr(self, f"patch_embed{s.number}")(x)
            for i, block in enumerate(getattr(self, f"block{s.number}")):
                x, routing = block(x)
                routings.append(routing)
                if trace:
                    trace(f"block{s.number}.{i}", x)
            x = getattr(self, f"norm{s.number}")(x)
            if s.number < 4:
                x = x.view(-1, s.side, s.side, s.channels).permute(0, 3, 1, 2)
        return self.head(x.mean(1)), routings

    def forward(self, pixels):
        return self.routed(pixels)[0]


def load(path):
    """The model of a safetensors file whose metadata has its config, in float32."""
    tensors, metadata = tensor_file.load(path)
    model = MoHViT(json.loads(metadata["config"]))
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model
