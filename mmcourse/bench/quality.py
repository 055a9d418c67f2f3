"""Time to quality: each recipe against a plain one of the same size in transformers or diffusers, on the same batches.

The plain one is trained as most would: AdamW, warm-up, cosine decay. Both have the same minutes, which fix how many
steps there are.
"""

import copy
import time
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import batches, device, recipes, world
from mmcourse.bench import peers
from mmcourse.models.contrastive import as_text, order
from mmcourse.models.dit import as_pixart
from mmcourse.models.text2image import Text2Image
from mmcourse.recipes import lm, painter, vqa
from mmcourse.training import Optimizers, moved
from mmcourse.world import corpus

PLAIN = {"lr": 1e-3, "warmup": 100}


class Llama(nn.Module):
    """LlamaForCausalLM, untrained, called as ours: tokens (B, T) -> logits (B, T, V)."""

    def __init__(self):
        super().__init__()
        model = lm.model()
        self.llama, self.tokenizer = peers.llama(model), model.tokenizer
        self.llama.init_weights()
        self.norm = self.llama.model.norm

    def forward(self, tokens):
        return self.llama(tokens, use_cache=False).logits


class VisualBert(nn.Module):
    """The same trained eye as ours, and VisualBertModel (Li et al. 2019), which reads a question and the eye's patches.

    forward(images (B, 3, 64, 64), ids (B, Q, T), mask (B, Q, T)) -> logits (B, Q, 30).
    """

    def __init__(self):
        from transformers import VisualBertConfig, VisualBertModel

        super().__init__()
        self.eye = vqa.model().eye
        self.bert = VisualBertModel(VisualBertConfig(
            vocab_size=len(batches.WORDS), hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=256,
            visual_embedding_dim=128, max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
        self.answer = nn.Linear(64, len(batches.ANSWERS))

    def forward(self, images, ids, mask):
        seen = self.eye(images).repeat_interleave(ids.shape[1], 0)
        read = self.bert(ids.flatten(0, 1), mask.flatten(0, 1), visual_embeds=seen,
                         visual_attention_mask=torch.ones_like(seen[..., 0]))
        return self.answer(read.pooler_output).unflatten(0, ids.shape[:2])


class PixArt(Text2Image):
    """PixArtTransformer2DModel, untrained, which predicts the velocity, and SiglipTextModel with the words of our reader."""

    def __init__(self):
        from diffusers import PixArtTransformer2DModel

        super().__init__()
        ours = painter.model()
        self.eye, self.text = ours.eye, as_text(ours.text).requires_grad_(False)
        self.register_buffer("numbers", torch.tensor(order(len(batches.WORDS))).argsort())          # of our words there
        self.dit = PixArtTransformer2DModel.from_config(as_pixart(ours.dit).config)
        self.dit.register_buffer("places", self.dit.pos_embed.pos_embed)             # `draw` asks them for the device

    def read(self, ids):
        words = ids != batches.PAD
        return self.text(self.numbers[ids], words).last_hidden_state, words

    def velocity(self, noisy, t, context, mask):
        return self.dit(noisy, context, 1000 * t, encoder_attention_mask=mask.float()).sample

    @torch.no_grad()
    def sample(self, noise, sentences, steps=20, guidance=1.0, negative=""):
        x, words = noise, self.read(batches.encode([*sentences, *[negative] * len(sentences)])[0].to(noise.device))
        for t in torch.arange(steps, 0, -1) / steps:
            wanted, unwanted = self.velocity(x.repeat(2, 1, 1, 1), t.expand(2 * len(x)).to(x.device), *words).chunk(2)
            x = x - (unwanted + guidance * (wanted - unwanted)) / steps
        return x


def pixart_loss(model, data):
    picture, ids, _, noise = data
    t = torch.sigmoid(torch.randn(len(picture), 1, 1, 1, device=picture.device))     # Esser et al. 2024
    return F.mse_loss(model((1 - t) * picture + t * noise, t.flatten(), ids), noise - picture)


def llama_loss(model, tokens):
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def bert_loss(model, data):
    images, ids, mask, answers, _ = data
    return F.cross_entropy(model(images, ids, mask).flatten(0, 1), answers.flatten())


def best_share(model, count):
    """The best possible perplexity as a share of the model's, on held-out texts: 1 / 1.1 is the entropy + 10%."""
    got, best = lm.perplexities(model, [corpus.tell(seed) for seed in lm.HELD_OUT[:count]])
    return {"share of the best": best / got}


def right(model, count):
    """The share of right answers to the twelve standard kinds on held-out scenes."""
    pairs = vqa.asked(world.split("validation").seeds[0], count, 24, world.STANDARD_KINDS)
    return {"accuracy": vqa.judge(model, pairs)["accuracy"]}


def drawn(model, count):
    """The share of right pictures of held-out sentences of all categories, of up to 8 tries each."""
    return painter.evaluate(model, max(1, count // 20), 2 ** 31 + 777, tries=8)


def cases(count):
    """Of each task: name, our recipe, the plain one, the goals by name, the samples of a step, and how often to judge.
    `count` for judging."""
    mixed = replace(lm.RECIPE, batch=lambda step: lm.batch(lm.DIALOGUES + step))       # for perplexity: all kinds at once
    for name, recipe, model, loss, judge, goals, samples, points in (
            ("language model", mixed, Llama, llama_loss, best_share, {"perplexity at its best + 10%": 1 / 1.1}, lm.ROWS, 40),
            ("question answering", vqa.RECIPE, VisualBert, bert_loss, right,
             {"80%": 0.80, "90%": 0.90, "95%": 0.95}, vqa.PICTURES * vqa.EACH, 40),
            ("text to image", painter.RECIPE, PixArt, pixart_loss, drawn, {"80%": 0.80, "90%": 0.90}, painter.PICTURES, 8)):
        ours = replace(recipe, evaluate=lambda model, judge=judge: judge(model, count))
        workers = {"workers": recipe.options.get("workers", 0)}
        yield name, ours, replace(ours, model=model, loss=loss, options=PLAIN | workers), goals, samples, points


def seconds_a_step(recipe, model):
    """Seconds of one step of a copy of the model, the making of its batch included where no worker makes it."""
    model, data = copy.deepcopy(model).to(device()), moved(recipe.batch(0), device())
    optimizer = Optimizers(model, 1e-9, 0.0, recipe.options.get("muon"))
    loss, times = recipes.halved(recipe.loss), []
    for step in range(3):
        start = time.perf_counter()
        data = data if recipe.options.get("workers") else moved(recipe.batch(step), device())
        loss(model, data).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times)


def curve(recipe, goals, minutes, samples, points, smoke):
    """The points of a run: [{"seconds", "samples", "score"}, ...]."""
    torch.manual_seed(0)
    model = recipe.model()
    every = 1 if smoke else max(1, round(60 * minutes / seconds_a_step(recipe, model) / points))
    found = recipes.curve(recipe, model, 3 if smoke else every * points, max(goals.values()), every)
    return [{"seconds": wall, "samples": every * samples * k, "score": score}
            for k, (wall, _, score) in enumerate(found, 1)]


def reached(points, goal):
    """The first point that is as good as the goal, or None."""
    return next((point for point in points if point["score"] >= goal - 1e-9), None)         # a mean of shares is rounded


def measure(smoke=False, minutes=20):
    """A row for each goal, and the curves of both."""
    rows, curves = [], {}
    for name, ours, peer, goals, samples, often in cases(2 if smoke else 100):
        curves[name] = {who: curve(recipe, goals, minutes, samples, often, smoke)
                        for who, recipe in (("ours", ours), ("peer", peer))}
        for goal, score in goals.items():
            mine, theirs = (reached(points, score) for points in curves[name].values())
            ratio = theirs["seconds"] / mine["seconds"] if mine and theirs else None
            rows.append({"name": f"{name}: {goal}", "ours": mine, "peer": theirs, "ratio": ratio})
    return {"rows": rows, "curves": curves, "minutes": minutes}
