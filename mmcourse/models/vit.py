"""Vision Transformer: a picture cut into patches, read like a sentence (lesson 14)."""

import torch
from torch import nn

from mmcourse.models.attention import MultiHeadAttention


def patchify(images, size):
    """Cut pictures (B, C, H, W) into square patches (B, N, C * size * size), in reading order."""
    batch, channels, height, width = images.shape
    if height % size or width % size:
        raise ValueError(f"A picture of {height} x {width} does not split into patches of {size}.")
    rows, columns = height // size, width // size
    cut = images.reshape(batch, channels, rows, size, columns, size)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * size * size)


class Block(nn.Module):
    """Pre-norm Transformer block: attention, then a small network for each token.

    x (B, T, D) -> (B, T, D) and the attention's weights (B, H, T, T).
    """

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attention = MultiHeadAttention(d_model, num_heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))

    def forward(self, x):
        mixed, weights = self.attention(self.norm1(x))
        x = x + mixed
        return x + self.feed_forward(self.norm2(x)), weights


class VisionTransformer(nn.Module):
    """ViT (Dosovitskiy et al. 2021): images (B, C, H, W) -> (B, 1 + N, D), class token first."""

    def __init__(self, image_size=64, patch_size=8, d_model=128, num_heads=4, num_layers=4, channels=3):
        super().__init__()
        self.patch_size, patches = patch_size, (image_size // patch_size) ** 2
        self.patch = nn.Linear(channels * patch_size ** 2, d_model)
        self.class_token = nn.Parameter(torch.randn(1, 1, d_model) * 0.02)
        self.position = nn.Parameter(torch.randn(1, 1 + patches, d_model) * 0.02)
        self.blocks = nn.ModuleList(Block(d_model, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, images):
        return self.look(images)[0]

    def look(self, images):
        """The tokens and, for each block, its attention weights (B, H, 1 + N, 1 + N)."""
        patches = self.patch(patchify(images, self.patch_size))
        first = self.class_token.expand(len(images), -1, -1)
        x, maps = torch.cat([first, patches], 1) + self.position, []
        for block in self.blocks:
            x, weights = block(x)
            maps.append(weights)
        return self.norm(x), maps
