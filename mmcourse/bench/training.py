"""Training steps of eight models beside the libraries' with equal weights: forward, loss, backward, AdamW."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Callable

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import batches, device, training
from mmcourse.bench import peers, timing
from mmcourse.models.attention import MultiHeadAttention
from mmcourse.models.captioning import Captioner, to_transformers
from mmcourse.models.contrastive import as_clip, info_nce, order, standard
from mmcourse.models.dit import DiT, as_pixart
from mmcourse.models.language_model import LanguageModel
from mmcourse.models.transformer import Encoder
from mmcourse.models.vit import VisionTransformer
from mmcourse.models.vqa import VQA
from mmcourse.recipes import captioner as captions, vqa as questions


@dataclass
class Case:
    """One model and its peer: `count` `unit`s a step, and how each computes its loss. The losses must be equal."""

    name: str
    peer: str
    shape: str
    count: int
    unit: str
    ours: nn.Module
    theirs: nn.Module
    loss: Callable
    their_loss: Callable


def attention(size):
    ours, (x, target) = MultiHeadAttention(128, 4), torch.randn(2, size, 64, 128, device=device())
    return Case("attention block", "torch.nn.MultiheadAttention", f"{size} x 64 tokens, width 128", 64 * size, "tokens",
                ours, peers.attention(ours), lambda model: F.mse_loss(model(x)[0], target),
                lambda model: F.mse_loss(model(x, x, x, need_weights=False)[0], target))


def encoder(size):
    ours, (x, target) = Encoder(4, 128, 4), torch.randn(2, size, 64, 128, device=device())
    return Case("encoder", "torch.nn.TransformerEncoder", f"{size} x 64 tokens, 4 layers of 128", 64 * size, "tokens", ours,
                peers.stack(ours.blocks, ours.norm), lambda model: F.mse_loss(model(x), target),
                lambda model: F.mse_loss(model(x), target))


def language_model(size):
    ours, tokens = LanguageModel(512), torch.randint(1, 512, (size, 97), device=device())
    after = tokens[:, 1:].contiguous()
    return Case("language model", "LlamaForCausalLM", f"{size} x 96 tokens, 4 layers of 96", 96 * size, "tokens", ours,
                peers.llama(ours), lambda model: F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), after.flatten()),
                lambda model: model(tokens[:, :-1], labels=tokens[:, :-1], shift_labels=after,
                                    use_cache=False).loss)


def vit(size):
    ours, images, target = VisionTransformer(64, 8, 128, 4, 4), *(torch.randn(shape, device=device()) for shape in
                                                                 ((size, 3, 64, 64), (size, 65, 128)))
    return Case("vision Transformer", "ViTModel", f"{size} pictures of 64 x 64, 4 layers of 128", size, "pictures", ours,
                peers.vit(ours), lambda model: F.mse_loss(model(images), target),
                lambda model: F.mse_loss(model(images).last_hidden_state, target))


def clip(size):
    ours, (images, ids, _) = standard(), training.moved(batches.captions(0, size), device())
    words = torch.tensor(order(len(batches.WORDS)), device=device()).argsort()[ids]
    return Case("CLIP", "CLIPModel", f"{size} pictures and sentences, 4 + 2 layers of 128", size, "pictures", ours,
                as_clip(ours), lambda model: info_nce(model(images, ids)),
                lambda model: model(words, images, attention_mask=ids > 0, return_loss=True).loss)


def vqa(size):
    data = training.moved(questions.tensors(questions.asked(0, size, 32)), device())
    ours = VQA()
    return Case("question answering", "ViTModel + torch.nn.TransformerDecoder", f"{size} pictures with 32 questions",
                32 * size, "questions", ours, peers.vqa(ours), lambda model: questions.loss(model, data),
                lambda model: questions.loss(model, data))


def captioner(size):
    images, groups = training.moved(captions.batch(0), device())
    groups = [(numbers[numbers < size], ids[numbers < size]) for numbers, ids in groups if (numbers < size).any()]
    images = images[:size]
    ours = Captioner()
    ours.vision.requires_grad_(False)

    def theirs(model):
        seen = model.encoder(images).last_hidden_state.detach()                  # each picture once, as ours
        said = [model(encoder_outputs=(seen[numbers],), decoder_input_ids=ids[:, :-1], use_cache=False).logits
                for numbers, ids in groups]
        total = sum(F.cross_entropy(logits[..., :len(batches.WORDS)].flatten(0, 1), ids[:, 1:].flatten(),
                                    ignore_index=batches.PAD, reduction="sum") for logits, (_, ids) in zip(said, groups))
        return total / sum((ids[:, 1:] != batches.PAD).sum() for _, ids in groups)

    return Case("captioner", "VisionEncoderDecoderModel", f"{size} pictures with 5 captions", 5 * size, "captions", ours,
                to_transformers(ours), lambda model: captions.loss(model, (images, groups)), theirs)


def denoiser(size):
    ours = DiT(d_context=128)
    nn.init.normal_(ours.output.weight, std=0.02)                                # else all gradients are zero at first
    noisy, target = torch.randn(2, size, 3, 64, 64, device=device())
    t, context = torch.rand(size, device=device()), torch.randn(size, 20, 128, device=device())
    mask = torch.arange(20, device=device()) < torch.randint(8, 21, (size, 1), device=device())
    return Case("denoiser", "PixArtTransformer2DModel", f"{size} pictures of 64 x 64, 4 layers of 192", size, "pictures",
                ours, as_pixart(ours), lambda model: F.mse_loss(model(noisy, t, context, mask), target),
                lambda model: F.mse_loss(model(noisy, context, 1000 * t, encoder_attention_mask=mask.long()).sample, target))


CASES = {attention: 64, encoder: 32, language_model: 16, vit: 32, clip: 32, vqa: 8, captioner: 24, denoiser: 24}


def stepper(model, loss, half=True):
    """A function that makes one step of training and returns its loss; half: products in bfloat16 if the device has them."""
    model.to(device())
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-4, fused=True)

    def step():
        with training.half(device()) if half else nullcontext():
            value = loss(model)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.item()
    return step


def quicker(model, loss):
    """The stepper in float32 or that with products in bfloat16, which is not quicker for every model."""
    return min((stepper(model, loss, half) for half in (True, False)),
               key=lambda step: min(timing.took(step) for _ in range(3)))


def measure(smoke=False):
    """A row for each of the eight models."""
    peaks, rows = [], []
    for case, size in CASES.items():
        torch.manual_seed(0)
        peaks.append(timing.matmul_peak())
        one = case(2 if smoke else 4 * size if device().type == "cuda" else size)
        one.ours.to(device()), one.theirs.to(device())
        losses = one.loss(one.ours).item(), one.their_loss(one.theirs).item()                # both in float32
        if abs(losses[0] - losses[1]) > 1e-4 * abs(losses[0]):
            raise RuntimeError(f"{one.name} and {one.peer} do not compute the same: their losses are {losses}.")
        ours, theirs = quicker(one.ours, one.loss), quicker(one.theirs, one.their_loss)
        row = timing.pairs(ours, theirs, 1 if smoke else timing.PAIRS)
        flops = timing.operations(ours)
        rows.append({"name": one.name, "peer": one.peer, "shape": one.shape, "unit": f"{one.unit} a second",
                     "rate": {who: one.count / seconds for who, seconds in row["seconds"].items()},
                     "memory": {"ours": timing.memory(ours), "peer": timing.memory(theirs)},
                     "share_of_peak": {who: flops / seconds / peaks[-1] for who, seconds in row["seconds"].items()}, **row})
        print(f"{one.name}: {row['ratio']['median']:.2f} times as fast", flush=True)
    ratios = torch.tensor([row["ratio"]["median"] for row in rows])
    return {"rows": rows, "geometric_mean": ratios.log().mean().exp().item(),
            "matmul_peak": torch.tensor(peaks).median().item()}
