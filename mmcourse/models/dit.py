"""A Transformer that denoises pictures: DiT (Peebles and Xie 2023) in the form of PixArt (Chen et al. 2024), lessons 33, 34."""

import math
import re

import torch
from torch import nn

from mmcourse.models.attention import MultiHeadAttention
from mmcourse.models.transformer import FeedForward
from mmcourse.models.vit import patchify


def waves(values, width):
    """Numbers (...) as waves (..., width): cosines, then sines, from fast to slow (Vaswani et al. 2017)."""
    half = width // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, device=values.device) / half)
    angles = values[..., None] * rates
    return torch.cat([angles.cos(), angles.sin()], -1)


def grid_places(side, d_model):
    """Places on a side x side grid, (side * side, D): waves of the column, then of the row."""
    at = waves(torch.arange(side).float(), d_model // 2).roll(d_model // 4, 1)       # here sines come first
    return torch.cat([at.repeat(side, 1), at.repeat_interleave(side, 0)], 1)


def unpatchify(patches, size):
    """Patches (B, N, C * size * size) of a square picture back to (B, C, H, W)."""
    side = round(patches.shape[1] ** 0.5)
    grid = patches.unflatten(1, (side, side)).unflatten(3, (-1, size, size))         # (B, h, w, C, s, s)
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


class TimeEmbedding(nn.Sequential):
    """Times (B,), from 0 (picture) to 1 (noise) -> vectors (B, D)."""

    def __init__(self, d_model):
        super().__init__(nn.Linear(256, d_model), nn.SiLU(), nn.Linear(d_model, d_model))

    def forward(self, t):
        return super().forward(waves(1000 * t, 256))


def modulate(x, shift, scale):
    """Move and stretch what a normalization has evened out."""
    return x * (1 + scale) + shift


class DiTBlock(nn.Module):
    """A Transformer block that the time steers: it shifts, scales and gates what each part reads and writes.

    forward(x (B, N, D), time (B, 6, D), context (B, T, D) or None, mask (B, 1, 1, T)) -> (B, N, D).
    """

    def __init__(self, d_model, num_heads, cross=True):
        super().__init__()
        self.steer = nn.Parameter(torch.tensor([0.0, 0, 1, 0, 0, 1])[:, None].repeat(1, d_model))   # gates start open
        self.norm = nn.LayerNorm(d_model, eps=1e-6, elementwise_affine=False)
        self.attend = MultiHeadAttention(d_model, num_heads)
        self.cross = MultiHeadAttention(d_model, num_heads) if cross else None
        self.think = FeedForward(d_model)

    def forward(self, x, time, context=None, mask=None):
        shift, scale, gate, shift_think, scale_think, gate_think = (self.steer + time).chunk(6, 1)      # (B, 1, D) each
        x = x + gate * self.attend(modulate(self.norm(x), shift, scale))[0]
        if self.cross:
            x = x + self.cross(x, context, mask)[0]
        return x + gate_think * self.think(modulate(self.norm(x), shift_think, scale_think))


class DiT(nn.Module):
    """Noisy pictures (B, 3, H, W), times (B,), a context (B, T, d_context) with its mask (B, T) -> (B, 3, H, W).

    What the output means, noise, velocity or picture, is for the loss to say. d_context=None: no context is read.
    """

    def __init__(self, image_size=64, patch_size=8, d_model=192, num_heads=6, num_layers=4, d_context=None):
        super().__init__()
        self.patch_size, pixels = patch_size, 3 * patch_size ** 2
        self.patch = nn.Linear(pixels, d_model)
        self.register_buffer("places", grid_places(image_size // patch_size, d_model), persistent=False)
        self.time = TimeEmbedding(d_model)
        self.steer = nn.Linear(d_model, 6 * d_model)
        self.context = nn.Sequential(nn.Linear(d_context, d_model), nn.GELU("tanh"),
                                     nn.Linear(d_model, d_model)) if d_context else None
        self.blocks = nn.ModuleList(DiTBlock(d_model, num_heads, d_context is not None) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model, eps=1e-6, elementwise_affine=False)
        self.last_steer = nn.Parameter(torch.zeros(2, d_model))
        self.output = nn.Linear(d_model, pixels)
        nn.init.zeros_(self.steer.weight), nn.init.zeros_(self.steer.bias), nn.init.zeros_(self.output.weight)

    def forward(self, noisy, t, context=None, mask=None):
        x = self.patch(patchify(noisy, self.patch_size)) + self.places
        time = self.time(t)                                                                     # (B, D)
        steer = self.steer(nn.functional.silu(time)).unflatten(1, (6, -1))                      # (B, 6, D)
        context = self.context(context) if self.context else None
        mask = mask[:, None, None] if mask is not None else None
        for block in self.blocks:
            x = block(x, steer, context, mask)
        shift, scale = (self.last_steer + time[:, None]).chunk(2, 1)
        return unpatchify(self.output(modulate(self.norm(x), shift, scale)), self.patch_size)


# Our names and those of diffusers' PixArtTransformer2DModel, as patterns
NAMES = {r"^patch\.": "pos_embed.proj.", r"^time\.0\.": "adaln_single.emb.timestep_embedder.linear_1.",
         r"^time\.2\.": "adaln_single.emb.timestep_embedder.linear_2.", r"^steer\.": "adaln_single.linear.",
         r"^context\.0\.": "caption_projection.linear_1.", r"^context\.2\.": "caption_projection.linear_2.",
         r"^last_steer": "scale_shift_table", r"^output\.": "proj_out.", r"^blocks\.": "transformer_blocks.",
         r"\.steer$": ".scale_shift_table", r"\.attend\.": ".attn1.", r"\.cross\.": ".attn2.", r"\.query\.": ".to_q.",
         r"\.key\.": ".to_k.", r"\.value\.": ".to_v.", r"\.output\.": ".to_out.0.", r"\.think\.0\.": ".ff.net.0.proj.",
         r"\.think\.2\.": ".ff.net.2."}


def as_pixart(dit):
    """A DiT that reads a context as diffusers' PixArtTransformer2DModel, with equal outputs; its times are 1000 times ours."""
    from diffusers import PixArtTransformer2DModel

    size, width, block = dit.patch_size, dit.steer.in_features, dit.blocks[0]
    theirs = PixArtTransformer2DModel(
        num_attention_heads=block.attend.num_heads, attention_head_dim=width // block.attend.num_heads, in_channels=3,
        out_channels=3, num_layers=len(dit.blocks), cross_attention_dim=width, sample_size=round(len(dit.places) ** 0.5) * size,
        patch_size=size, activation_fn="gelu", caption_channels=dit.context[0].in_features, use_additional_conditions=False,
        interpolation_scale=1)
    weights = {}
    for name, value in dit.state_dict().items():
        if name.startswith("output."):                       # the colors of a pixel stand together there
            value = value.unflatten(0, (3, size * size)).transpose(0, 1).flatten(0, 1)
        if name == "patch.weight":
            value = value.unflatten(1, (3, size, size))
        for ours, other in NAMES.items():
            name = re.sub(ours, other, name)
        weights[name] = value
    theirs.load_state_dict(weights)
    return theirs.eval()
