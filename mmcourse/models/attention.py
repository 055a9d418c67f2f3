"""Attention: one query looks at many keys and takes a weighted mean of their values (lesson 11)."""

import torch
from torch import nn


def attention(query, key, value, mask=None):
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1).

    query (..., T, d), key (..., S, d), value (..., S, e); mask is boolean and broadcasts to
    (..., T, S), True = may look. Returns the mixed values (..., T, e) and the weights
    (..., T, S). A query that may look nowhere gets zeros.
    """
    scores = (query / query.shape[-1] ** 0.5) @ key.transpose(-2, -1)
    if mask is None:
        weights = scores.softmax(-1)
    else:
        if mask.dtype != torch.bool:
            raise TypeError(f"The mask is {mask.dtype}: make it boolean, True = may look.")
        lowest = torch.finfo(scores.dtype).min      # not -inf: a row of -inf would become NaN
        weights = scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)
    return weights @ value, weights


def causal_mask(length):
    """(T, T): position t may look at positions 0 to t, itself included."""
    return torch.ones(length, length, dtype=torch.bool).tril()


def padding_mask(lengths, longest=None):
    """(B, 1, 1, S): row b may look at its first lengths[b] keys; the rest is padding.

    The ones stand for the heads and the queries.
    """
    lengths = torch.as_tensor(lengths)
    longest = int(lengths.max()) if longest is None else longest
    real = torch.arange(longest, device=lengths.device) < lengths[:, None]
    return real[:, None, None, :]


def prefix_mask(length, prefix):
    """(T, T): the first `prefix` positions see one another, what follows is causal."""
    return causal_mask(length) | (torch.arange(length) < prefix)


class MultiHeadAttention(nn.Module):
    """Several attentions, each on its own slice of the width (Vaswani et al. 2017, 3.2.2).

    forward(x, context=None, mask=None): queries from x (B, T, D), keys and values from
    context (B, S, D) or from x itself; mask broadcasts to (B, H, T, S), True = may look.
    Returns (B, T, D) and the weights (B, H, T, S).
    """

    def __init__(self, d_model, num_heads):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads cannot share a width of {d_model} evenly.")
        self.num_heads = num_heads
        self.query, self.key = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.value, self.output = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def split(self, x):
        """(B, T, D) -> (B, H, T, D/H): every head gets its own slice."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        query, key = self.split(self.query(x)), self.split(self.key(context))
        mixed, weights = attention(query, key, self.split(self.value(context)), mask)
        return self.output(mixed.transpose(1, 2).flatten(2)), weights
