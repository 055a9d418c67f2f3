"""Checks of lesson 31, visual question answering. Truth: hand numbers, loops, torch's own gradients and attention."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import batches, world, zoo
from mmcourse.checks import Again, close, exercise, expect, mistakes, numbers, same, takes, tensor
from mmcourse.recipes import vqa


@exercise("31.1", points=2)
def predictions(answer):
    got = numbers(answer, "first_loss", "blind", "biased", "pairs", "soft", "order")
    expect(abs(got["first_loss"] - 1.48) > 0.006, '"first_loss": this is the logarithm to base 10. Cross-entropy takes the '
                                                  "natural one.")
    expect(abs(got["first_loss"] - 3.40) < 0.006, '"first_loss": the right answer has the chance 1/30; the loss is -ln of it.')
    expect(got["blind"] != 300, '"blind": that would be two answers. Here are six colors, each as common as the others.')
    expect(not 0 < got["blind"] < 20, '"blind": that is a share. How many of the 600 is it?')
    expect(got["blind"] == 100, '"blind": each of six colors is right for one question in six, whichever is guessed.')
    expect(abs(got["biased"] - 0.25) > 0.006, '"biased": 1/4 is the balanced world. Here the favorite is kept five times as '
                                              "often as each other shape.")
    expect(abs(got["biased"] - 0.8) > 0.006, '"biased": 1 - 0.2 is no share. Three other shapes are kept with chance 0.2 each.')
    expect(got["biased"] <= 1, '"biased": a share lies between 0 and 1.')
    expect(abs(got["biased"] - 0.625) < 0.0051, '"biased": 1 for the favorite and 3 · 0.2 for the rest: which share is the 1?')
    expect(got["pairs"] not in (0.5, 1 / 4, 1 / 36), '"pairs": it gives the same answer to both pictures, and the two answers '
                                                     "differ. Can both be right?")
    expect(got["pairs"] == 0, '"pairs": one question, two different answers, and a model that sees no picture.')
    expect(abs(got["soft"] - 2 / 3) > 0.02, '"soft": the person whose answer is compared is left out first. For those two '
                                            "people only one other agrees.")
    expect(abs(got["soft"] - 0.6) < 1e-6, '"soft": two of ten times one other agrees (1/3), eight times two do (2/3).')
    expect(not got["order"], '"order": both questions have the same words, and a mean does not know their order.')


@exercise("31.2", points=3)
def soft_targets(answer):
    takes(answer, "people", "answers")
    choices = ("red", "pink", "yes", "2")
    counts = [[0, 1, 9, 0], [2, 8, 0, 0], [3, 4, 0, 2], [0, 0, 10, 0], [1, 1, 1, 2], [2, 0, 0, 1], *[[1, 2, 1, 0]] * 3]
    like = {6: ("Red", "red ", "red "), 7: ("dark red", "dark red"), 8: ("re", "re", "20", "20")}
    people = []
    for k, row in enumerate(counts):
        said = [*[word for word, count in zip(choices, row) for _ in range(count)], *like.get(k, ())]
        said += ["blue"] * (10 - len(said) if k != 5 else int(torch.randint(1, 5, ())))      # one row has fewer people
        people.append([said[i] for i in torch.randperm(len(said)).tolist()])
    people = [people[i] for i in torch.randperm(len(people)).tolist()]
    choices = tuple(choices[i] for i in torch.randperm(len(choices)).tolist())
    counts = [[said.count(word) for word in choices] for said in people]
    blurred = {"'Red' and 'red ' are not 'red' here: compare the strings as they are.": lambda word, other: word == other.lower().strip(),
               "'Red' is not 'red' here: compare the strings as they are.": lambda word, other: word == other.lower(),
               "'red ' is not 'red' here: compare the strings as they are.": lambda word, other: word == other.strip(),
               "'dark red' is not 'red': compare whole answers, not parts of them.": lambda word, other: word in other,
               "'re' is not 'red': compare whole answers, not parts of them.": lambda word, other: other in word,
               "'20' is not '2': compare whole answers, not how they begin.": lambda word, other: other.startswith(word)}
    want = torch.tensor([[sum(min(sum(other == word for j, other in enumerate(said) if j != i) / 3, 1)
                              for i in range(len(said))) / len(said) for word in choices] for said in people])
    got = answer([list(said) for said in people], choices)
    tensor(got, want.shape, torch.float32)
    for hint, alike in blurred.items():
        other = [[[alike(word, one) for one in said] for word in choices] for said in people]
        expect(not same(got, torch.tensor([[(c * min((c - 1) / 3, 1) + (len(row) - c) * min(c / 3, 1)) / len(row)
                                            for row in rows for c in [sum(row)]] for rows in other])), hint)
    number = torch.tensor(counts).float()
    total = torch.tensor([float(len(said)) for said in people])[:, None]
    expect(not same(got, number / total), "These are shares of the people. The score is a third for each who agrees, one at most.")
    expect(not same(got, (number / 3).clamp(max=1)), "min(count / 3, 1) of all people: leave each person out once, and take the "
                                                     "mean.")
    expect(not same(got, (number / 3 * (total - 1) / total)), "The score of one comparison is 1 at most: the `min` is missing.")
    expect(not same(got, (number == number.max(1, keepdim=True).values).float()),
           "Only the commonest answer has a score: soft targets give each answer what it would earn.")
    expect(not same(got, (0.3 * number).clamp(max=1)), "0, 0.3, 0.6, 0.9, 1 holds for ten people. One row has fewer: write the "
                                                       "mean itself.")
    expect(not same(got, ((number - 1) / 3).clamp(0, 1)), "Only those who gave the answer were left out: everybody is left out "
                                                          "once, and for the others all `count` agree.")
    close(got, want, "These are not the official scores.")


def _head(cells, width, answers):
    head = nn.Sequential(nn.Flatten(), nn.Linear(cells * width, 16), nn.Tanh(), nn.Linear(16, answers))
    head[-1].weight.data *= 30                        # so that maps go beyond 1
    return head


@exercise("31.3", points=4)
def grad_cam(answer):
    takes(answer, "tokens", "head")
    (cells, width), answers = (torch.randperm(4)[:2] + 4).tolist(), 6
    head, tokens = _head(cells, width, answers), torch.randn(3, cells, width) * 4
    logits = head(tokens)
    best = logits.argmax(1).tolist()                  # the highest logits: of three pictures, different, not the first or last
    if len({*best, 0, answers - 1, int(logits.sum(0).argmax())}) < 6 or (logits.abs().argmax(1) == logits.argmax(1)).all():
        raise Again
    with torch.enable_grad():
        leaf = tokens.clone().requires_grad_()
        logits = head(leaf)
        (gradient,) = torch.autograd.grad(logits.amax(1).sum(), leaf, retain_graph=True)
        (every,) = torch.autograd.grad(logits.sum(), leaf, retain_graph=True)
        (chance,) = torch.autograd.grad(logits.softmax(1).amax(1).sum(), leaf, retain_graph=True)
        wrong = {"Every picture has its own highest logit; you take that of the first picture for all.":
                 torch.autograd.grad(logits[:, best[0]].sum(), leaf, retain_graph=True)[0],
                 "The logit of the largest size may be negative: take the highest.":
                 torch.autograd.grad(logits.gather(1, logits.abs().argmax(1, keepdim=True)).sum(), leaf, retain_graph=True)[0],
                 "Only one picture of the batch has a map: take the highest logit of each (dim=1).":
                 torch.autograd.grad(logits.max(), leaf, retain_graph=True)[0],
                 "The gradient is divided by the number of pictures: sum the highest logits, do not take their mean.": gradient / 3}
    matters = gradient.mean(1, keepdim=True)
    plain = (matters * tokens).sum(-1)
    if plain.amax(1).min() <= 0:                                                         # a map that is zero everywhere
        raise Again
    got = answer(tokens.clone(), head)
    expect(not isinstance(got, torch.Tensor) or not got.requires_grad, "The map still carries a gradient: detach it.")
    tensor(got, (3, cells), torch.float32, "The map")
    expect(got.any(), "The map is zero everywhere.")

    def weighed(gradient):
        return (gradient.mean(1, keepdim=True) * tokens).sum(-1).clamp(min=0)
    mistakes(got, plain.clamp(min=0), *((weighed(other), hint) for hint, other in wrong.items()),
             ((gradient.sum(1, keepdim=True) * tokens).sum(-1).clamp(min=0),
              "The gradient was summed over the cells: take the mean."),
             ((matters * tokens).clamp(min=0).sum(-1),
              "Negative values were set to zero before the sum over the features: do it behind."),
             (plain.clamp(0, 1), "The map is cut off at 1: only negative values become zero."),
             (plain, "Negative values are left: what speaks against the answer is set to zero."),
             (plain.abs(), "Negative values were turned around by abs: they speak against the answer, so they become zero."),
             ((gradient * tokens).sum(-1).clamp(min=0),
              "Each cell was weighted by its own gradient. Grad-CAM takes the mean of the gradient over the cells first."),
             (weighed(every), "The gradient is that of all logits together: take the highest of each picture."),
             (weighed(chance), "The gradient is that of the chance after the softmax: take the logit itself."),
             ((gradient.mean(2, keepdim=True) * tokens).sum(-1).clamp(min=0),
              "The gradient was averaged over the features. Average it over the cells (dim=1)."),
             (gradient.norm(dim=-1), "This is the size of the gradient alone: weight the features by it."),
             (F.normalize(plain.clamp(min=0), 1, 1), "The maps were made to sum to one: leave them as they are."))
    close(got, plain.clamp(min=0), "The map is not Grad-CAM's.", 1e-4)


@exercise("31.4", points=3)
def vqa_loss(answer):
    takes(answer, "logits", "answers")
    kinds = int(torch.randint(20, 40, ()))
    logits, answers = torch.randn(3, 4, kinds) * 3, torch.randint(kinds, (3, 4))
    answers[0, 2:], answers[2, 1:], answers[1, 0], answers[0, 1] = -1, -1, 0, 1
    rows = [(logits[b, q], int(answers[b, q])) for b in range(3) for q in range(4) if answers[b, q] >= 0]
    losses = torch.stack([row.exp().sum().log() - row[right] for row, right in rows])
    want = losses.mean()
    given = logits.clone().requires_grad_()
    with torch.enable_grad():
        got = answer(given, answers.clone())
    expect(isinstance(got, torch.Tensor) and got.ndim == 0,
           "The loss is one number, a tensor without axes: the mean over the real questions.")
    tensor(got, (), torch.float32, "The loss")
    expect(got.requires_grad, "The loss carries no gradient, so nothing could learn from it: do not detach it.")
    got = got.detach()
    kept, chances, clamped = answers >= 0, logits.softmax(-1), answers.clamp(min=0).flatten()
    rowwise = torch.stack([F.cross_entropy(row, right, ignore_index=-1) for row, right in zip(logits, answers)]).mean()
    over = logits.log_softmax(1)[kept].gather(-1, answers[kept][:, None])
    mistakes(got, want,
             (F.cross_entropy(logits[answers > 0], answers[answers > 0]),
              "Answer 0 is a real answer and was left out: only -1 marks an empty place."),
             (F.cross_entropy(chances.flatten(0, 1), clamped),
              "There are still two softmaxes: F.cross_entropy takes logits and has one inside."),
             (F.cross_entropy(chances[kept], answers[kept]),
              "Empty places are left out now, but there are still two softmaxes: give F.cross_entropy the logits."),
             (F.cross_entropy(logits.flatten(0, 1), clamped),
              "The softmax is right now, but an empty place still counts: clamp makes the first answer of -1."),
             (losses.sum(), "This is the sum over the questions: take the mean."),
             (losses.sum() / answers.numel(),
              "The sum is over the real questions, and it was divided by all places, the empty ones included."),
             (rowwise, "This is the mean of each picture's mean: every real question should count alike."),
             (-want, "The sign is turned around: a loss is never negative."),
             (-over.mean(), "The softmax goes over the questions of a picture. It goes over the answers, the last axis."),
             (-chances[kept].gather(-1, answers[kept][:, None]).mean(),
              "This is minus the chance of the right answer: its logarithm is missing."))
    expect(same(got, want, 1e-4), f"The mean cross-entropy of the real questions is {want.item():.4f}, and yours is {got.item():.4f}.")


@exercise("31.5", points=4)
def look(answer):
    takes(answer, "words", "mask", "cells")
    words, cells = torch.randn(2, 3, 5, 6), torch.randn(2, 7, 6) * 2
    lengths = torch.tensor([[3, 4, 5], [2, 1, 0]])
    mask = torch.arange(5) < lengths[..., None]
    mean = torch.stack([torch.stack([words[b, q, :n].mean(0) if n else torch.zeros(6) for q, n in enumerate(row)])
                        for b, row in enumerate(lengths.tolist())])
    blind, total = words.mean(2), (words * mask[..., None]).sum(2)
    got = answer(words.clone(), mask.clone(), cells.clone())
    expect(not isinstance(got, torch.Tensor) or not got.isnan().any(),
           "There is NaN: one question has no word at all, so its mean is 0 divided by 0. Its vector should be 0, before it looks.")
    tensor(got, (2, 3, 6), torch.float32)
    expect(got[1, 2].any(), "Only the vector of a question without words is 0; it still looks at the cells.")

    def see(question, key, value=None, scale=6 ** 0.5, dim=-1):
        return question + (question @ key.transpose(1, 2) / scale).softmax(dim) @ (key if value is None else value)
    for question, said in ((mean, "The words are right now, but "), (blind, "")):
        expect(not same(got, see(question, question)), said + "the question looks at the questions: the picture plays no part. "
                                                              "Its cells are keys and values.")
    expect(not same(got, see(blind, cells)), "The picture is seen now, but padding still counts as words.")
    short = (words * mask[..., None]).mean(2)
    expect(not same(got, see(short, cells)), "Padding is zero now, but the sum is divided by all places: divide by the number "
                                             "of real words.")
    expect(not same(got, see(words.sum(2) / mask.sum(2)[..., None].clamp(min=1), cells)),
           "Padding is still in the sum: it is random here, so set it to zero first.")
    expect(not same(got, see(total, cells)), "This is the sum of the real words: divide it by how many there are.")
    expect(not same(got, see(mean, cells, scale=1)), "The scores are not divided by the square root of D.")
    expect(not same(got, see(mean, cells, scale=6)), "The scores are divided by D: its square root is asked for.")
    expect(not same(got, see(mean, cells) - mean), "What the question sees is to be added to its vector: the sum is missing.")
    expect(not same(got, see(mean, cells, dim=1)), "The softmax goes over the questions: every question shares its weight out "
                                                   "over the cells, the last axis.")
    expect(not same(got, see(mean, cells) - mean + blind), "The query is the mean of the real words, and what is added to is "
                                                           "not: padding counts there still.")
    close(got, see(mean, cells), "The result is not what the question saw.", 1e-4)


def _noisy(first, count):
    """What the encoder reports of noisy pictures (M, 64, 16), eight questions about each, and the right answers."""
    scenes, asked = zip(*vqa.asked(first, count, 8, None, replace(world.SPECS["standard"], noise=40.0)))
    encoder = zoo.load("vision").cpu()
    with torch.no_grad():
        report = torch.cat([encoder.cell(encoder(part)) for part in batches.pictures(scenes).split(20)])
    return report, [[q.text for q in some] for some in asked], [[q.answer for q in some] for some in asked]


@exercise("31.6", points=4)
def read_and_reason(answer):
    takes(answer, "report", "questions")
    report, questions, right = _noisy(int(torch.randint(2 ** 40, 2 ** 60, ())), 800)      # too many seeds to try
    got = answer(report.clone(), [list(some) for some in questions])
    expect(isinstance(got, (list, tuple)) and [len(row) for row in got] == [8] * len(right),
           f"Return a list of {len(right)} lists, each with an answer to each of the eight questions.")
    expect(all(isinstance(word, str) for row in got for word in row), "Every answer is a string, as world.answer gives it: "
                                                                      'a color, a shape, a size, a number like "2", yes or no.')
    hits = torch.tensor([[a == b for a, b in zip(*rows)] for rows in zip(got, right)]).float()
    score = hits.mean().item()
    print(f"{score:.1%} of {hits.numel():,} questions about noisy pictures are answered rightly (target: 96%; blind: 36%).")
    expect(score > 0.15, "This is worse than a blind guess: do the answers stand in the order of the pictures and questions?")
    expect(score > 0.50 or answer(report.flip(0), [list(some) for some in questions]) != got,
           "A blind model gets this far: the answers do not depend on what each patch says.")
    expect(score > 0.93, "Something is read wrongly. Print the things of one picture beside the picture: are there as many, is "
                         "each patch with its *center* above 0 one thing, and do x and y come last, in this order?")
    expect(score >= 0.96, "Nearly. Look at the questions whose description fits no thing, or two. Is a thing missing, or one there "
                         "twice?")
