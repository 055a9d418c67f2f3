"""The Transformer: blocks along a residual stream, an encoder, a decoder, and both together (lesson 12)."""

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse.models.attention import MultiHeadAttention, causal_mask

PAD, START, END = 0, 1, 2                   # the first three words of every vocabulary here


def sinusoidal(length, d_model):
    """(T, D) waves that tell places apart (Vaswani et al. 2017, section 3.5).

    Columns 2i and 2i + 1 hold the sine and cosine of place / 10000^(2i / D).
    """
    rates = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)             # (D/2,)
    angles = torch.arange(length)[:, None] * rates                           # (T, D/2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def rotary(x, places=None, base=10000.0):
    """Turn queries or keys by angles that grow with their place (Su et al. 2021).

    x (..., T, d), places (T,) or broadcasting to (..., T), by default 0 to T - 1. Number
    i turns together with i + d/2, as in Llama. Of the places only their
    difference then enters a score.
    """
    half = x.shape[-1] // 2
    rates = base ** (-torch.arange(half, device=x.device) / half)                # (d/2,)
    places = torch.arange(x.shape[-2], device=x.device) if places is None else places
    angles = places[..., None] * rates                                       # (..., T, d/2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class TokenEmbedding(nn.Module):
    """Words and their places as vectors: ids (B, T) -> (B, T, D).

    positions: "sinusoidal", "learned" (up to max_length words), or None for a bag of words.
    """

    def __init__(self, vocab_size, d_model, positions="sinusoidal", max_length=64):
        super().__init__()
        self.words, self.positions = nn.Embedding(vocab_size, d_model), positions
        self.places = nn.Embedding(max_length, d_model) if positions == "learned" else None

    def forward(self, ids):
        x, length = self.words(ids), ids.shape[1]
        if self.positions == "learned":
            if length > len(self.places.weight):
                raise ValueError(f"{length} words, but only {len(self.places.weight)} "
                                 "learned places: make max_length larger.")
            return x + self.places.weight[:length]
        return x + sinusoidal(length, x.shape[-1]).to(x) if self.positions else x


class FeedForward(nn.Sequential):
    """Two linear layers around a GELU, for each position by itself: (..., D) -> (..., D)."""

    def __init__(self, d_model, d_ff=None):
        d_ff = d_ff or 4 * d_model
        super().__init__(nn.Linear(d_model, d_ff), nn.GELU(), nn.Linear(d_ff, d_model))


class Block(nn.Module):
    """Self-attention, cross-attention (if `cross`), feed-forward, added to the stream.

    norm_first: True normalizes what a part reads (Xiong et al. 2020), False the sum
    (Vaswani et al. 2017). x (B, T, D) -> (B, T, D); masks broadcast to (B, H, T, keys).
    """

    def __init__(self, d_model, num_heads, d_ff=None, cross=False, norm_first=True):
        super().__init__()
        self.norm_first = norm_first
        self.attend = MultiHeadAttention(d_model, num_heads)
        self.cross = MultiHeadAttention(d_model, num_heads) if cross else None
        self.cross_norm = nn.LayerNorm(d_model) if cross else None
        self.think = FeedForward(d_model, d_ff)
        self.norm, self.think_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def add(self, x, part, norm):
        return x + part(norm(x)) if self.norm_first else norm(x + part(x))

    def forward(self, x, mask=None, context=None, context_mask=None):
        x = self.add(x, lambda y: self.attend(y, None, mask)[0], self.norm)
        if self.cross:
            x = self.add(x, lambda y: self.cross(y, context, context_mask)[0],
                         self.cross_norm)
        return self.add(x, self.think, self.think_norm)


class Encoder(nn.Module):
    """Blocks that see the whole sequence: forward(x (B, T, D), mask=None) -> (B, T, D)."""

    def __init__(self, num_layers, d_model, num_heads, d_ff=None, norm_first=True):
        super().__init__()
        self.blocks = nn.ModuleList(Block(d_model, num_heads, d_ff, norm_first=norm_first)
                                    for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()

    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    """Blocks that see the past, and a context: forward(x, context, context_mask=None).

    x (B, T, D) and context (B, S, D) -> (B, T, D). The causal mask is put on here.
    """

    def __init__(self, num_layers, d_model, num_heads, d_ff=None, norm_first=True):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(d_model, num_heads, d_ff, cross=True, norm_first=norm_first)
            for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()

    def forward(self, x, context, context_mask=None):
        mask = causal_mask(x.shape[1]).to(x.device)
        for block in self.blocks:
            x = block(x, mask, context, context_mask)
        return self.norm(x)


def shift_right(target):
    """What the decoder reads to learn to write `target`: START, then all but the last."""
    return F.pad(target, (1, 0), value=START)[:, :-1]


class EncoderDecoder(nn.Module):
    """Reads one sequence and writes another (Vaswani et al. 2017): ids (B, S) and (B, T).

    Rows end with END and are filled up with PAD. forward gives logits (B, T, target_vocab): at
    each place the next word, given the source and the true words before it.
    """

    def __init__(self, source_vocab, target_vocab, d_model=64, num_heads=4, num_layers=2,
                 d_ff=None, norm_first=True, positions="sinusoidal"):
        super().__init__()
        self.source = TokenEmbedding(source_vocab, d_model, positions)
        self.target = TokenEmbedding(target_vocab, d_model, positions)
        self.encoder = Encoder(num_layers, d_model, num_heads, d_ff, norm_first)
        self.decoder = Decoder(num_layers, d_model, num_heads, d_ff, norm_first)
        self.output = nn.Linear(d_model, target_vocab, bias=False)

    def encode(self, source):
        """ids (B, S) -> (B, S, D) and the mask that hides padding, (B, 1, 1, S)."""
        mask = (source != PAD)[:, None, None]
        return self.encoder(self.source(source), mask), mask

    def decode(self, written, context, mask):
        """What is written so far (B, T) -> logits of each next word (B, T, target_vocab)."""
        return self.output(self.decoder(self.target(written), context, mask))

    def forward(self, source, target):
        return self.decode(shift_right(target), *self.encode(source))

    def loss(self, source, target):
        """Mean cross-entropy over the real words of the target (END counts, PAD does not)."""
        logits = self(source, target)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)

    @torch.no_grad()
    def generate(self, source, longest=64):
        """Write greedily, the likeliest word each time: ids (B, at most `longest`)."""
        context, mask = self.encode(source)
        written = torch.full_like(source[:, :1], START)
        done = torch.zeros_like(written, dtype=torch.bool)
        while not done.all() and written.shape[1] <= longest:
            word = self.decode(written, context, mask)[:, -1:].argmax(-1)
            word = word.masked_fill(done, PAD)
            written, done = torch.cat([written, word], 1), done | (word == END)
        return written[:, 1:]
