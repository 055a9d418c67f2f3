"""The language model of lesson 13: it writes the texts of world.corpus, nearly as well as is possible."""

import json
import math
import re
from collections import defaultdict
from functools import lru_cache
from itertools import count

import torch

from mmcourse.models.language_model import LanguageModel, next_token_loss
from mmcourse.models.tokenizer import BPE, END
from mmcourse.recipes import Recipe, weights
from mmcourse.world import corpus
from mmcourse.world.language import NUMBERS, PLURAL, SAID

VOCAB_SIZE, ROWS, LENGTH = 512, 16, 96
DIALOGUES = 2000                    # steps that read dialogues alone: what must be looked up comes first
HELD_OUT = range(2 ** 31, 2 ** 31 + 1000)


def trained_tokenizer():
    """The tokenizer, learned from the first 3,000 texts of the corpus."""
    return BPE.train([corpus.tell(seed).text for seed in range(3000)], VOCAB_SIZE)


def tokenizer():
    """The tokenizer as it is shipped beside the weights."""
    return BPE(json.loads((weights() / "lm_tokenizer.json").read_text("utf-8")))


TOKENIZER = tokenizer()
ASKS, STOPS = ([TOKENIZER.ids[token] for token in tokens] for tokens in (("?", "Ġ="), (".", END)))


def rows(seeds, number, length, bpe=TOKENIZER, kind=None):
    """Pack texts (of one kind, or of all) into token rows (number, length): END, text, END, text, ... A row begins with a
    new text."""
    table = []
    for _ in range(number):
        row = [0]
        while len(row) < length:
            row += [*bpe.encode(corpus.tell(next(seeds), kind).text), 0]
        table.append(row[:length])
    return torch.tensor(table)


def batch(step):
    """The token rows (16, 97) of a step, fresh texts at every step. The first steps read dialogues alone, 48 rows each.

    To answer, a model must find a thing in the text and read what stands beside it. Among other texts, with larger steps
    of Muon and fewer rows, this was not learned in 12,000 steps.
    """
    number, kind = (3 * ROWS, "dialogue") if step < DIALOGUES else (ROWS, None)
    return rows(count(step * 1000), number, LENGTH + 1, kind=kind)


def loss(model, tokens):
    """Cross-entropy. The words of an answer, from "?" or "=" to the full stop, count 20 times: they must be found out,
    the others are often chance. The best that a model can do stays the same, the true chances everywhere.
    """
    weights = 1 + 19 * answering(tokens[:, :-1]).float()
    return next_token_loss(model, tokens, weights)


def answering(tokens):
    """Where the next token belongs to an answer: the last mark was "?" or "=". Tokens (B, T) -> bool (B, T)."""
    places = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    ask, stop = ((torch.isin(tokens, torch.tensor(marks, device=tokens.device)) * places).cummax(1).values
                 for marks in (ASKS, STOPS))
    return ask > stop


def model():
    """The model untrained, with its tokenizer: 0.5 million parameters.

    In the later half of the blocks queries begin equal to keys, so a token looks for others like itself (after Trockman and
    Kolter 2023): half the way to looking something up. The earlier half is free to look at neighbors.
    """
    made = LanguageModel(VOCAB_SIZE, tokenizer=TOKENIZER)
    for block in made.blocks[len(made.blocks) // 2:]:
        heads, d_head = block.attention.heads, block.attention.d_head
        queries, keys, _ = block.attention.query_key_value.weight.data.unflatten(0, (-1, d_head)).split(heads)
        queries[:] = keys.normal_(std=0.08).repeat_interleave(heads[0] // heads[1], 0)
    return made


@torch.inference_mode()
def log_probs(model, texts):
    """The log-probability (nats) that the model gives to each whole text, its end included."""
    ids = [[0, *model.tokenizer.encode(text), 0] for text in texts]
    longest = max(map(len, ids))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in ids]).to(model.norm.weight.device)
    logs = model(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return [log[:len(row) - 1].sum().item() for log, row in zip(logs, ids)]


def perplexities(model, texts):
    """Per token of these corpus Texts: the model's perplexity, and the best there can be, the exponential of the
    corpus' own entropy."""
    tokens = sum(len(model.tokenizer.encode(text.text)) + 1 for text in texts)
    nats = [log for start in range(0, len(texts), 100)
            for log in log_probs(model, [text.text for text in texts[start:start + 100]])]
    return math.exp(-sum(nats) / tokens), math.exp(-sum(text.log_prob for text in texts) / tokens)


@torch.inference_mode()
def answered(model, texts):
    """By kind of question, {"what color": 0.98, ...}: the share of the answers in these dialogues that the model would
    give, each word of it its likeliest."""
    found = defaultdict(list)
    for text in texts:
        ids = torch.tensor([[0, *model.tokenizer.encode(text.text), 0]], device=model.norm.weight.device)
        right, place = model(ids[:, :-1]).argmax(-1) == ids[:, 1:], answering(ids[:, :-1])
        number = torch.isin(ids[:, :-1], torch.tensor(ASKS, device=ids.device)).cumsum(1)
        for k, kind in enumerate(re.findall("how many|is there|what [a-z]+", text.text), start=1):
            found[kind].append(right[place & (number == k)].all().item())
    return {kind: sum(some) / len(some) for kind, some in sorted(found.items())}


def in_grammar(texts):
    """The share of texts that the corpus could have told."""
    return sum(corpus.log_prob(text) > -math.inf for text in texts) / len(texts)


KINDS = {word: kind for kind, words in {
    "color": corpus.COLORS, "shape": corpus.SHAPES, "shapes": [PLURAL[shape] for shape in corpus.SHAPES],
    "name": corpus.NAMES, "size": (*SAID["small"], *SAID["large"]), "number": NUMBERS[2:5]}.items() for word in words}


def sentences(text):
    """The sentences of a text, each with its mark."""
    return [sentence.strip() for sentence in re.findall(r"[^.?]+[.?]?", text)]


def form(sentence):
    """The sentence with their kind in place of colors, names and the like: "is there a star?" -> "is there a shape ?"."""
    return " ".join(KINDS.get(word, word) for word in re.findall(r"\w+|\S", sentence))


@lru_cache(maxsize=1)
def known_forms():
    """The forms of all sentences in the first 2,000 texts of the corpus."""
    return frozenset(form(sentence) for seed in range(2000) for sentence in sentences(corpus.tell(seed).text))


def well_formed(texts):
    """The share of sentences, each taken alone, that the corpus could have said: as a whole text, or like one it said."""
    found = [form(sentence) in known_forms() or corpus.log_prob(sentence) > -math.inf
             for text in texts for sentence in sentences(text)]
    return sum(found) / len(found)


def evaluate(model):
    """On 1,000 held-out texts: perplexity, the best possible, their ratio for every kind, and the share of the answers in
    dialogues that are right; and of 1,000 texts written
    at temperature 0.7 the share that is in the grammar, and that of their single sentences."""
    texts = [corpus.tell(seed) for seed in HELD_OUT]
    got, best = perplexities(model, texts)
    scores = {"perplexity": got, "best_perplexity": best, "ratio": got / best}
    for kind in corpus.KINDS:
        got, best = perplexities(model, [text for text in texts if text.kind == kind])
        scores[f"ratio_{kind}"] = got / best
    scores |= answered(model, [text for text in texts if text.kind == "dialogue"])
    written = model.write([""] * 1000, temperature=0.7)
    return scores | {"in_grammar_at_0.7": in_grammar(written), "sentences_in_grammar_at_0.7": well_formed(written)}


RECIPE = Recipe(model, batch, loss, {"cpu": 11000, "gpu": 11000}, evaluate,
                {"lr": 6e-3, "muon": 0.005, "warmup": 50, "every": 100})
