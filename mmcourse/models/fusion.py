"""Fusion: fifteen ways to answer from two modalities, all with one call, so that they compare (lesson 22)."""

from functools import lru_cache

import torch
from torch import nn

from mmcourse.models.attention import MultiHeadAttention
from mmcourse.models.transformer import Block

PAIR = 128                                  # width of the tokens that come in


class Pool(nn.Module):
    """Many tokens to one: a weighted mean, the weights learned from each token.

    x (B, N, D), mask (B, N) True = a real token -> (B, D).
    """

    def __init__(self, width):
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, x, mask=None):
        scores = self.score(x)                                               # (B, N, 1)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], torch.finfo(scores.dtype).min)
        return (scores.softmax(1) * x).sum(1)


def head(width, outputs):
    """Two layers that answer from one vector: (B, width) -> (B, outputs)."""
    hidden = nn.Linear(width, width)
    return nn.Sequential(nn.LayerNorm(width), hidden, nn.GELU(), nn.Linear(width, outputs))


class Fusion(nn.Module):
    """What all fusions share: both modalities enter one width; what is absent is told so.

    forward(a (B, N, 128), b (B, M, 128), mask=None, present=None) -> logits (B, outputs).
    mask (B, M): True = a real token of b. present (B, 2): True = modality a, b is there;
    the tokens of one that is not are replaced by one learned vector.
    A fusion defines build(width, outputs) and fuse(a, b, mask, present).
    """

    def __init__(self, width, outputs=2):
        super().__init__()
        self.enter_a, self.enter_b = nn.Linear(PAIR, width), nn.Linear(PAIR, width)
        self.absent = nn.Parameter(torch.randn(2, width) * 0.1)
        self.build(width, outputs)

    def forward(self, a, b, mask=None, present=None):
        a, b = self.enter_a(a), self.enter_b(b)                              # both (B, ., D)
        if present is not None and self.absent is not None:
            a = torch.where(present[:, :1, None], a, self.absent[0])
            b = torch.where(present[:, 1:, None], b, self.absent[1])
        return self.fuse(a, b, mask, present)


# ---- one modality alone: what every fusion has to beat

class OnlyA(Fusion):
    """The first modality alone."""

    def __init__(self, width, outputs=2):
        nn.Module.__init__(self)
        self.enter, self.pool = nn.Linear(PAIR, width), Pool(width)
        self.head = head(width, outputs)

    def forward(self, a, b, mask=None, present=None):
        return self.head(self.pool(self.enter(a)))


class OnlyB(OnlyA):
    """The second modality alone."""

    def forward(self, a, b, mask=None, present=None):
        return self.head(self.pool(self.enter(b), mask))


# ---- late: two answers are joined

class LateAverage(Fusion):
    """Each modality answers; the mean of the logits counts. What is absent has no vote."""

    def build(self, width, outputs):
        self.absent = None                                 # it would never get a gradient
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.head_a, self.head_b = head(width, outputs), head(width, outputs)

    def fuse(self, a, b, mask, present):
        answers = torch.stack([self.head_a(self.pool_a(a)),
                               self.head_b(self.pool_b(b, mask))], 1)       # (B, 2, outputs)
        return (self.votes(answers, present)[..., None] * answers).sum(1)

    def votes(self, answers, present):
        """The share that each modality has in the answer: (B, 2)."""
        if present is None:
            return torch.full_like(answers[..., 0], 0.5)
        return present / present.sum(1, keepdim=True).clamp(min=1)


class LateGate(LateAverage):
    """Each modality answers and says how much its answer should count, from itself alone."""

    def build(self, width, outputs):
        super().build(width, outputs + 1)                   # the last number is the trust

    def fuse(self, a, b, mask, present):
        return super().fuse(a, b, mask, present)[:, :-1]

    def votes(self, answers, present):
        trust = answers[..., -1]
        if present is not None:
            trust = trust.masked_fill(~present, torch.finfo(trust.dtype).min)
        return trust.softmax(1)


# ---- early: features are joined, then one answer

class Sum(Fusion):
    """The two vectors added."""

    def build(self, width, outputs):
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.head = head(width, outputs)

    def fuse(self, a, b, mask, present):
        return self.head(self.pool_a(a) + self.pool_b(b, mask))


class Concat(Fusion):
    """The two vectors side by side, along the features."""

    def build(self, width, outputs):
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.head = head(2 * width, outputs)

    def fuse(self, a, b, mask, present):
        return self.head(torch.cat([self.pool_a(a), self.pool_b(b, mask)], dim=-1))


class SingleStream(Fusion):
    """All tokens in one list, one Transformer block over it (as in VisualBERT, Li et al. 2019)."""

    def build(self, width, outputs):
        self.kind = nn.Parameter(torch.randn(2, width) * 0.1)      # which modality is it from
        self.block, self.pool = Block(width, 2, 2 * width), Pool(width)
        self.head = head(width, outputs)

    def fuse(self, a, b, mask, present):
        x, keep = joined(a + self.kind[0], b + self.kind[1], mask)
        return self.head(self.pool(self.block(x, keep[:, None, None]), keep))


def joined(a, b, mask):
    """Tokens of both in one list (B, N + M, D), and its mask (B, N + M)."""
    x = torch.cat([a, b], dim=1)
    keep = torch.ones_like(x[..., 0], dtype=torch.bool)
    if mask is not None:
        keep = torch.cat([keep[:, :a.shape[1]], mask], dim=1)
    return x, keep


# ---- hybrid, and ways to let one modality change the other

class Hybrid(Fusion):
    """Early and late together: the logits of the joined features and of each alone, averaged."""

    def build(self, width, outputs):
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.head = head(2 * width, outputs)
        self.head_a, self.head_b = nn.Linear(width, outputs), nn.Linear(width, outputs)

    def fuse(self, a, b, mask, present):
        a, b = self.pool_a(a), self.pool_b(b, mask)
        both = self.head(torch.cat([a, b], dim=-1))
        return (both + self.head_a(a) + self.head_b(b)) / 3


class Gated(Fusion):
    """A gate chooses for each feature which modality it comes from (Arevalo et al. 2017)."""

    def build(self, width, outputs):
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.say_a, self.say_b = nn.Linear(width, width), nn.Linear(width, width)
        self.gate, self.head = nn.Linear(2 * width, width), head(width, outputs)

    def fuse(self, a, b, mask, present):
        a, b = self.pool_a(a), self.pool_b(b, mask)
        gate = self.gate(torch.cat([a, b], dim=-1)).sigmoid()
        return self.head(gate * self.say_a(a).tanh() + (1 - gate) * self.say_b(b).tanh())


class Bilinear(Fusion):
    """Every feature of one times a feature of the other, at low rank (MLB, Kim et al. 2017)."""

    def build(self, width, outputs):
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.rank_a, self.rank_b = nn.Linear(width, width), nn.Linear(width, width)
        self.head = head(width, outputs)

    def fuse(self, a, b, mask, present):
        return self.head(self.rank_a(self.pool_a(a)) * self.rank_b(self.pool_b(b, mask)))


class FiLM(Fusion):
    """b scales and shifts every feature of a's tokens (Perez et al. 2018)."""

    def build(self, width, outputs):
        self.ask, self.film = Pool(width), nn.Linear(width, 2 * width)
        self.mix, self.pool = nn.Linear(width, width), Pool(width)
        self.head = head(width, outputs)

    def fuse(self, a, b, mask, present):
        gamma, beta = self.film(self.ask(b, mask))[:, None].chunk(2, dim=-1)        # (B, 1, D)
        return self.head(self.pool(((1 + gamma) * self.mix(a) + beta).relu()))


# ---- attention between the modalities

class CrossAttention(Fusion):
    """The tokens of b look at those of a (one way)."""

    def build(self, width, outputs):
        self.look, self.norm = MultiHeadAttention(width, 2), nn.LayerNorm(width)
        self.pool, self.head = Pool(width), head(width, outputs)

    def fuse(self, a, b, mask, present):
        b = self.norm(b + self.look(b, a)[0])
        return self.head(self.pool(b, mask))


class CoAttention(Fusion):
    """Both ways: b looks at a, and a at b (as in ViLBERT, Lu et al. 2019)."""

    def build(self, width, outputs):
        self.look_a, self.look_b = MultiHeadAttention(width, 2), MultiHeadAttention(width, 2)
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.pool_a, self.pool_b = Pool(width), Pool(width)
        self.head = head(2 * width, outputs)

    def fuse(self, a, b, mask, present):
        keep = None if mask is None else mask[:, None, None]
        seen = self.norm_a(a + self.look_a(a, b, keep)[0])
        read = self.norm_b(b + self.look_b(b, a)[0])
        return self.head(torch.cat([self.pool_a(seen), self.pool_b(read, mask)], dim=-1))


class Bottleneck(Fusion):
    """Each modality keeps to itself; a few tokens carry messages (Nagrani et al. 2021)."""

    def build(self, width, outputs):
        self.messages = nn.Parameter(torch.randn(2, width) * 0.1)
        self.blocks_a = nn.ModuleList(Block(width, 2, width) for _ in range(2))
        self.blocks_b = nn.ModuleList(Block(width, 2, width) for _ in range(2))
        self.pool, self.head = Pool(width), head(width, outputs)

    def fuse(self, a, b, mask, present):
        z = self.messages.expand(len(a), -1, -1)                                 # (B, 2, D)
        for block_a, block_b in zip(self.blocks_a, self.blocks_b):
            x = block_a(torch.cat([z, a], 1))
            y, keep = joined(z, b, mask)
            y = block_b(y, keep[:, None, None])
            z, a, b = (x[:, :2] + y[:, :2]) / 2, x[:, 2:], y[:, 2:]
        return self.head(self.pool(z))


class QFormer(Fusion):
    """A few learned queries read b, then look at a (Li et al. 2023, Dai et al. 2023)."""

    def build(self, width, outputs):
        self.queries = nn.Parameter(torch.randn(2, width) * 0.1)
        self.read = Block(width, 2, width)
        self.look, self.norm = MultiHeadAttention(width, 2), nn.LayerNorm(width)
        self.pool, self.head = Pool(width), head(width, outputs)

    def fuse(self, a, b, mask, present):
        x, keep = joined(self.queries.expand(len(a), -1, -1), b, mask)
        queries = self.read(x, keep[:, None, None])[:, :2]
        return self.head(self.pool(queries + self.look(self.norm(queries), a)[0]))


BASELINES = {"only picture": OnlyA, "only words": OnlyB}
FUSIONS = {
    "late: average": LateAverage, "late: gate": LateGate, "early: sum": Sum, "early: concat": Concat,
    "early: one stream": SingleStream, "hybrid": Hybrid, "gated": Gated, "bilinear": Bilinear, "FiLM": FiLM,
    "cross-attention": CrossAttention, "co-attention": CoAttention, "bottleneck": Bottleneck, "Q-Former": QFormer,
}
EVERY = BASELINES | FUSIONS


def parameters(model):
    """How many numbers a model learns."""
    return sum(value.numel() for value in model.parameters())


@lru_cache
def width(kind, target, outputs=2):
    """The width, an even number, that brings a fusion closest to `target` parameters."""
    with torch.device("meta"):                              # shapes without numbers: no random ones are used up
        counts = {size: parameters(kind(size, outputs)) for size in range(8, 160, 2)}
    return min(counts, key=lambda size: abs(counts[size] - target))


def sized(kind, target, outputs=2):
    """A fusion of this kind with about `target` parameters."""
    return kind(width(kind, target, outputs), outputs)
