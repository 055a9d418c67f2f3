"""A decoder-only language model in the Llama form, with its KV cache and the ways to write with it (lesson 13)."""

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    """Divide by the root of the mean square, then scale (Zhang and Sennrich 2019): no mean, no bias."""

    def __init__(self, d_model, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d_model)), eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotations(positions, d_head, base=10_000.0):
    """Cosines and sines (..., T, d/2) of the angles position * base^(-2i/d) (Su et al. 2021)."""
    speeds = base ** (-torch.arange(0, d_head, 2, device=positions.device) / d_head)
    angles = positions[..., None] * speeds
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Lesson 12's rotary, its angles made once for all layers: x (B, H, T, d)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class SwiGLU(nn.Module):
    """Feed-forward with a gate (Shazeer 2020): down(silu(gate(x)) * up(x))."""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class GroupedQueryAttention(nn.Module):
    """Many query heads share few key and value heads (Ainslie et al. 2023): a smaller cache.

    forward(x, turn, mask, past): x (B, T, D); turn = (cos, sin); mask (..., T, S), True = may look,
    None = causal; past is None or a list [keys, values] (B, G, S, d) that is made longer by T.
    """

    def __init__(self, d_model, num_heads, num_kv_heads):
        super().__init__()
        self.d_head = d_model // num_heads
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, num_kv_heads * self.d_head, bias=False)
        self.value = nn.Linear(d_model, num_kv_heads * self.d_head, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, turn, mask=None, past=None):
        q, k, v = (part(x).float().unflatten(-1, (-1, self.d_head)).transpose(1, 2)
                   for part in (self.query, self.key, self.value))
        q, k = rotate(q, *turn), rotate(k, *turn)
        if past is not None:
            past[:] = [torch.cat([old, new], 2) for old, new in zip(past, (k, v))] if past else [k, v]
            k, v = past
        shared = q.shape[1] // k.shape[1]
        k, v = (part.repeat_interleave(shared, dim=1) for part in (k, v))
        with torch.autocast("cpu", enabled=False):         # on a CPU its bfloat16 form is slower
            mixed = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None and q.shape[2] > 1)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, d_model, num_heads, num_kv_heads, d_ff):
        super().__init__()
        self.attention = GroupedQueryAttention(d_model, num_heads, num_kv_heads)
        self.feed_forward = SwiGLU(d_model, d_ff)
        self.norm1, self.norm2 = RMSNorm(d_model), RMSNorm(d_model)

    def forward(self, x, turn, mask=None, past=None):
        x = x + self.attention(self.norm1(x), turn, mask, past)
        return x + self.feed_forward(self.norm2(x))


class LanguageModel(nn.Module):
    """Llama's architecture (Touvron et al. 2023) with tied embeddings.

    forward(tokens (B, T)) -> logits (B, T, V): what comes next after each position.
    """

    def __init__(self, vocab_size, d_model=192, num_layers=4, num_heads=6, num_kv_heads=2, d_ff=512):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.ModuleList(Block(d_model, num_heads, num_kv_heads, d_ff) for _ in range(num_layers))
        self.norm = RMSNorm(d_model)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, tokens, real=None, cache=None):
        """real (B, S) is True at words and False at padding, those in the cache included."""
        return self.read(self.embedding(tokens), real, cache)

    def read(self, x, real=None, cache=None):
        """Embeddings (B, T, D) -> logits (B, T, V)."""
        length = x.shape[1]
        start = cache[0][0].shape[2] if cache and cache[0] else 0
        mask, positions = None, torch.arange(start, start + length, device=x.device)
        if start and length > 1 or real is not None:
            itself = torch.eye(start + length, dtype=torch.bool, device=x.device)[start:]
            mask = torch.ones_like(itself).tril(start)
            if real is not None:
                mask = (mask & real[:, None, None, :]) | itself      # padding sees itself: never NaN
                positions = (real.cumsum(1) - 1).clamp(min=0)[:, None, start:]
        turn = rotations(positions, self.blocks[0].attention.d_head)
        for i, block in enumerate(self.blocks):
            x = block(x, turn, mask, cache[i] if cache is not None else None)
        return self.norm(x) @ self.embedding.weight.T


def next_token_loss(model, tokens):
    """Mean cross-entropy (nats) of each token given all before it: tokens (B, T + 1)."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
