"""The shipped models at work beside the libraries' own ways with the same weights: tokens, pictures, answers a second."""

import tempfile
from functools import partial

import numpy as np
import torch
from torch import nn

from mmcourse import device, training, world, zoo
from mmcourse.batches import END, START, pictures
from mmcourse.bench import peers, timing
from mmcourse.models.captioning import LONGEST, Telling, to_transformers
from mmcourse.models.language_model import generate
from mmcourse.models.text2image import Text2Image
from mmcourse.recipes import vqa as questions


def language_model(count, tokens):
    """Greedy, with a cache on both sides. Token 0, which ends a text, never comes, so that nobody stops early."""
    ours = zoo.load("lm")
    with torch.no_grad():
        ours.head.weight[0] = 0
    theirs, prompts = peers.llama(ours).to(device()), torch.randint(1, 512, (count, 8), device=device())

    def library():
        return theirs.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=tokens, do_sample=False,
                               pad_token_id=0)[:, 8:].tolist()
    return "LlamaForCausalLM.generate", "tokens", lambda: generate(ours, prompts.tolist(), tokens), library


def captioner(count, longest):
    """From pixels to words, greedy: the encoding of the pictures counts on both sides."""
    ours, images = zoo.load("captioner"), pictures([world.sample(2 ** 31 + k) for k in range(count)]).to(device())
    theirs = to_transformers(ours).to(device())

    def writing():
        with torch.inference_mode():
            return generate(Telling(ours, ours.see(images)), [[START]] * count, longest, END)

    def library():
        rows = theirs.generate(pixel_values=images, do_sample=False, max_length=longest + 1)[:, 1:].tolist()
        return [row[:row.index(END)] if END in row else row for row in rows]
    return "VisionEncoderDecoderModel.generate", "tokens", writing, library


def painter(count, steps, guidance=1.0):
    """Straight steps from the same noise, one try a picture. Weights change nothing: these are random."""
    ours, spec = Text2Image().to(device()).eval(), world.Spec((1, 3))
    said = [world.sample(2 ** 31 + k, spec).caption(k, "full") for k in range(count)]
    for weight in ours.dit.parameters():
        nn.init.normal_(weight, std=0.05)
    with tempfile.TemporaryDirectory() as folder:
        pipe = peers.painter(ours, folder).to(device())

    def library():
        return pipe(said, num_inference_steps=steps, guidance_scale=guidance,
                    generator=[torch.Generator().manual_seed(k) for k in range(count)])
    return ("a diffusers pipeline of PixArt", "pictures",
            lambda: ours.draw(said, steps=steps, guidance=guidance, tries=1), library)


def answerer(count, each):
    """Pictures with questions that share them; the words are numbers already."""
    ours = zoo.load("vqa")
    images, ids, mask, *_ = training.moved(questions.tensors(questions.asked(2 ** 31, count, each)), device())
    theirs = peers.vqa(ours).to(device()).eval()

    def answers(model):
        with torch.inference_mode():
            return model(images, ids, mask).argmax(-1).flatten().tolist()
    return "ViTModel + torch.nn.TransformerDecoder", "questions", lambda: answers(ours), lambda: answers(theirs)


CASES = {"language model, one text": (language_model, 1, 100), "language model, 16 texts": (language_model, 16, 100),
         "captioner, one picture": (captioner, 1, LONGEST - 1), "captioner, 16 pictures": (captioner, 16, LONGEST - 1),
         "text to image, one picture": (painter, 1, 20), "text to image, 16 pictures": (painter, 16, 20),
         "text to image, 64 pictures": (painter, 64, 20),
         "text to image, 16 pictures, guidance 2": (partial(painter, guidance=2.0), 16, 20),
         "question answering, one question": (answerer, 1, 1), "question answering, 16 pictures": (answerer, 16, 24)}


def alike(one, two):
    """The share of equal outputs; pictures are equal if no pixel differs by more than 2 of 255."""
    if isinstance(one[0], (list, int)):
        return float(np.mean([a == b for a, b in zip(one, two)]))
    return float(np.mean([np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 2 for a, b in zip(one, two)]))


def measure(smoke=False):
    """A row for each of CASES."""
    rows = []
    for name, (case, count, length) in list(CASES.items())[::2 if smoke else 1]:
        torch.manual_seed(0)
        peer, unit, ours, theirs = case(min(count, 2) if smoke else count, min(length, 4) if smoke else length)
        made = ours()
        amount = sum(len(row) + 1 for row in made) if unit == "tokens" else len(made)
        row = timing.pairs(ours, theirs, 1 if smoke else timing.PAIRS)
        rows.append({"name": name, "peer": peer, "unit": f"{unit} a second", "alike": alike(made, theirs()),
                     "rate": {who: amount / seconds for who, seconds in row["seconds"].items()}, **row})
        print(f"{name}: {row['ratio']['median']:.2f} times as fast as {peer}", flush=True)
    return {"rows": rows}
