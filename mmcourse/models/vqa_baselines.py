"""What a table of question answering needs beside the model: simple ones (lesson 31)."""

import torch
from torch import nn

from mmcourse.batches import ANSWERS, WORDS
from mmcourse.models.attention import MultiHeadAttention
from mmcourse.models.transformer import FeedForward


class Baseline(nn.Module):
    """One vector for the picture, one for the question, side by side: CLEVR's CNN+LSTM.

    forward(images (B, 3, 64, 64), ids (B, Q, T), mask (B, Q, T)) -> logits (B, Q, 30).
    `sees` and `reads` leave the question or the picture alone (Johnson et al. 2017).
    """

    def __init__(self, sees=True, reads=True, width=128):
        super().__init__()
        self.sees, self.reads = sees, reads
        sizes = ((3, 24), (24, 48), (48, 64), (64, 64))                 # 64 pixels -> 4 x 4
        self.cnn = nn.Sequential(*(layer for a, b in sizes for layer in (
            nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU())),
            nn.Flatten(), nn.Linear(64 * 16, width))
        self.words = nn.Embedding(len(WORDS), 64)
        self.lstm = nn.LSTM(64, width, batch_first=True)
        self.answer = nn.Sequential(nn.Linear((sees + reads) * width, 256), nn.ReLU(),
                                    nn.Linear(256, len(ANSWERS)))

    def forward(self, images, ids, mask):
        parts = []
        if self.sees:
            parts.append(self.cnn(images)[:, None].expand(-1, ids.shape[1], -1))
        if self.reads:
            hidden, _ = self.lstm(self.words(ids.flatten(0, 1)))         # (B * Q, T, D)
            last = mask.flatten(0, 1).sum(-1) - 1              # the last word, not padding
            read = hidden[torch.arange(len(hidden)), last]               # (B * Q, D)
            parts.append(read.unflatten(0, ids.shape[:2]))
        return self.answer(torch.cat(parts, dim=-1))


class Look(nn.Module):
    """Look at cells: x (B, Q, D), cells (B, N, D) -> (B, Q, D) and weights (B, H, Q, N)."""

    def __init__(self, width, num_heads):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attend = MultiHeadAttention(width, num_heads)
        self.think_norm, self.think = nn.LayerNorm(width), FeedForward(width)

    def forward(self, x, cells):
        seen, weights = self.attend(self.norm(x), cells)
        x = x + seen
        return x + self.think(self.think_norm(x)), weights


class SmallVQA(nn.Module):
    """The question as one vector looks at the cells of a picture, twice, and answers.

    forward(cells (B, N, 128), ids (B, Q, T), mask (B, Q, T)) -> logits (B, Q, 30) and where
    it looked last (B, Q, N). The vector is the mean of the words: their order is lost.
    """

    def __init__(self, width=64, num_heads=4):
        super().__init__()
        self.words, self.cells = nn.Embedding(len(WORDS), width), nn.Linear(128, width)
        self.looks = nn.ModuleList(Look(width, num_heads) for _ in range(2))
        self.answer = nn.Linear(width, len(ANSWERS))

    def forward(self, cells, ids, mask):
        real = mask[..., None].float()                                   # (B, Q, T, 1)
        x = (self.words(ids) * real).sum(2) / real.sum(2)                # (B, Q, D)
        cells = self.cells(cells)
        for look in self.looks:
            x, weights = look(x, cells)
        return self.answer(x), weights.mean(1)
