"""Writes data/vqa_plateau.json: what breaks the plateau of visual question answering, as curves (lesson 31).

    python data/make_vqa_plateau.py [SECONDS]

Three models learn from the same questions about the same pictures, seen by the same eye, each for the same seconds of one
processor. After every sixth of the time each answers held-out questions of the twelve standard kinds.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import training, world
from mmcourse.batches import ANSWERS, STRIDE, WORDS
from mmcourse.models.transformer import Block, TokenEmbedding
from mmcourse.recipes import vqa

FILE, POINTS = Path(__file__).with_name("vqa_plateau.json"), 6


class Plain(vqa.VQA):
    """The usual fusion: words look at one another and, by cross-attention, at the picture; <start> answers."""

    def __init__(self):
        super().__init__()
        self.embed, self.see = TokenEmbedding(len(WORDS), 64), nn.Linear(128, 64)
        self.blocks = nn.ModuleList(Block(64, 4, cross=True) for _ in range(3))
        self.answers = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, len(ANSWERS)))

    def think(self, tokens, ids, mask):
        seen = self.see(tokens).repeat_interleave(ids.shape[1], 0)
        x, mask = self.embed(ids.flatten(0, 1)), mask.flatten(0, 1)[:, None, None]
        for block in self.blocks:
            x = block(x, mask, seen)
        return self.answers(x[:, 0]).unflatten(0, ids.shape[:2]), None


def learn(model, dense, seconds, held):
    """Train for so many processor seconds, judging not counted. [{"seconds", "questions", kind: share right, ...}, ...]"""
    optimizer = training.Optimizers(model, 3e-3, 0.01, 0.02)
    start, step, points = time.process_time(), 0, []
    while len(points) < POINTS:
        images, ids, mask, answers, truth = vqa.tensors(vqa.asked(step * STRIDE, vqa.PICTURES, vqa.EACH))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1, (step + 1) / 50)
        logits, scores = model.train().think(model.eye(images), ids, mask)
        loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
        if dense:
            loss = loss + dense * 64 * F.binary_cross_entropy_with_logits(scores, truth.float())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, now = step + 1, time.process_time()
        if now - start > seconds * (len(points) + 1) / POINTS:
            scores = {kind: round(share, 4) for kind, share in vqa.judge(model, held).items()}
            points.append({"seconds": round(now - start, 1), "questions": step * vqa.PICTURES * vqa.EACH, **scores})
            print(points[-1], flush=True)
            start += time.process_time() - now
    return points


def main(seconds=110.0):
    torch.set_num_threads(1)
    held = vqa.asked(world.split("validation").seeds[0], 40, 24, world.STANDARD_KINDS)
    curves = {}
    for name, made, dense in (("cross-attention", Plain, 0), ("steps, each told what it means", vqa.VQA, 1),
                              ("steps, answers only", vqa.VQA, 0)):
        torch.manual_seed(0)
        model = made()
        model.eye.load_state_dict(vqa.model().eye.state_dict())
        curves[name] = learn(model, dense, seconds, held)
        FILE.write_text(json.dumps({"date": str(date.today()), "torch": torch.__version__, "processor seconds": seconds,
                                    "curves": curves}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
