"""Checks of lesson 21, contrastive alignment. Truth: hand numbers, loops, torch's own losses, the world's own scenes."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from mmcourse import world, zoo
from mmcourse.checks import exercise, expect, mistakes, numbers, same, takes, tensor
from mmcourse.models.vit import KINDS


def _near(got, want):
    return abs(got - want) <= 0.01 * abs(want)


@exercise("21.1", points=2)
def predictions(answer):
    got = numbers(answer, "blind", "alone", "twins", "scale", "pairs", "bag")
    expect(not _near(got["blind"], 8), '"blind": 8 is the logarithm to base 2; losses here use the natural one.')
    expect(_near(got["blind"], math.log(256)), '"blind": who knows nothing gives each of 256 the same share.')
    expect(not abs(got["alone"]) < 0.01, '"alone": cosines end at 1 and -1, so the softmax of the two cannot reach 1.')
    expect(not _near(got["alone"], math.log(1 + math.exp(-1))),
           '"alone": this is the loss with cosines 1 and 0. The other sentence can be farther away than that.')
    expect(_near(got["alone"], math.log(1 + math.exp(-2))), '"alone": scores 1 and -1; write -ln of the softmax of the 1.')
    expect(not abs(got["twins"]) < 0.01, '"twins": two columns hold the same sentence, so nobody can say which one is mine.')
    expect(not _near(got["twins"], math.log(4)), '"twins": ln 4 would be a guess among four. How many sentences fit a picture?')
    expect(_near(got["twins"], math.log(2)), '"twins": two of the eight fit, and each gets half.')
    expect(not _near(got["scale"], 3), '"scale": the parameter is the logarithm of the scale.')
    expect(_near(got["scale"], math.exp(3)), '"scale": e to the power of the parameter.')
    expect(got["pairs"] != 32, '"pairs": 32 are the questions whose answer is yes. The others are asked, too.')
    expect(got["pairs"] == 1024, '"pairs": each picture with each sentence.')
    expect(not got["bag"], '"bag": both sentences hold the same words, and a bag knows nothing but the words in it.')


@exercise("21.2", points=3)
def lowest_loss(answer):
    takes(answer, "fits")
    size = int(torch.randint(7, 13, ()))
    fits = (torch.rand(size, size) < 0.25) | torch.eye(size, dtype=torch.bool)
    fits[:, 0] = True                                        # one sentence that is true of all: rows and columns differ
    rows = [math.log(sum(row)) for row in fits.int().tolist()]
    columns = [math.log(sum(column)) for column in fits.T.int().tolist()]
    mean = [sum(values) / size for values in (rows, columns)]
    got = answer(fits.clone())
    got = got.float() if isinstance(got, torch.Tensor) else got
    tensor(got, (), torch.float32)
    count = fits.float().sum().item() / size
    others = [sum(math.log(max(n - 1, 1)) for n in part.sum(-1).tolist()) / size for part in (fits, fits.T)]
    blurred = torch.stack([F.cross_entropy(part.float(), torch.arange(size)) for part in (fits, fits.T)]).mean()
    lone = sum(sum(values) / sum(value > 0 for value in values) for values in (rows, columns)) / 2
    wrong = {"Rows and columns with one true pair were left out: they cost 0, and count in the mean.": lone,
             "This is the loss of a blind guess: the false pairs are still in it.": math.log(size),
             "A floor of 0 holds only where no sentence is true of two pictures.": 0.0,
             "Only the rows are counted: InfoNCE asks both ways.": mean[0],
             "Only the columns are counted: InfoNCE asks both ways.": mean[1],
             "The two means are added: the loss is their mean, half of it.": sum(mean),
             "The mean of the counts was taken before the logarithm: each row has a loss of its own, and the mean is over losses.":
             math.log(count),
             "The own sentence is not counted: it is one of those that fit.": sum(others) / 2,
             "False pairs score 0 here, and should score minus infinity.": blurred,
             "This is in bits: take the natural logarithm.": sum(mean) / 2 / math.log(2),
             "This is the sum over the batch: take the mean.": sum(mean) / 2 * size}
    mistakes(got, torch.tensor(sum(mean) / 2), *((torch.as_tensor(value), hint) for hint, value in wrong.items()))
    expect(same(got, torch.tensor(sum(mean) / 2)), f"If all true pairs score alike, the loss is {sum(mean) / 2:.4f}, and yours is "
                                                   f"{got.item():.4f}.")


@exercise("21.3", points=3)
def ensemble(answer):
    takes(answer, "pictures", "prompts")
    for ways in (int(torch.randint(3, 6, ())), 1):
        _ensemble(answer, int(torch.randint(4, 7, ())), ways, int(torch.randint(5, 8, ())), int(torch.randint(350, 450, ())))


def _ensemble(answer, classes, ways, width, count):
    middle = torch.randn(classes, 1, width)
    spread = torch.linspace(0.3, 2.5, classes).view(-1, 1, 1)                    # some classes' prompts disagree more
    prompts = (middle + spread * torch.randn(classes, ways, width)) * torch.rand(classes, ways, 1).add(0.05) * 8
    pictures = torch.randn(count, width) * torch.rand(count, 1).add(0.1)

    def best(vectors, scores=None):
        return torch.stack([torch.stack([picture @ vector for vector in vectors]).argmax() for picture in pictures])

    def unit(vector):
        return vector / vector.square().sum(-1, keepdim=True).sqrt()
    want = best([unit(unit(prompts[k]).sum(0)) for k in range(classes)])
    got = answer(pictures.clone(), prompts.clone())
    tensor(got, (count,), torch.int64, "The classes")
    if ways == 1:
        return expect(torch.equal(got, want), "With one prompt for each class, the classes are those with the largest cosine.")
    across = F.normalize(F.normalize(prompts, dim=1).mean(1), dim=-1)
    expect(not same(got, best(list(across))), "F.normalize works along axis 1 unless told otherwise: each prompt is a vector, dim=-1.")
    expect(not same(got, best([unit(prompts[k]).sum(0) for k in range(classes)])),
           "The means are not brought to length 1: classes whose prompts agree are longer, and win too often.")
    expect(not same(got, best([unit(prompts[k].sum(0)) for k in range(classes)])),
           "The prompts are not brought to length 1 before the mean: a long one has the larger say.")
    expect(not same(got, best([prompts[k].sum(0) for k in range(classes)])),
           "No vector was brought to length 1: long vectors win, whatever their direction.")
    expect(not same(got, best([unit(prompts[k, 0]) for k in range(classes)])), "Only the first prompt of each class is used.")
    single = best([unit(vector) for vector in prompts.flatten(0, 1)])
    expect(not same(got, single), "These are numbers of prompts, not of classes.")
    expect(not same(got, single // ways), "This is the class of the nearest single prompt: take the mean of a class first.")
    expect(torch.equal(got, want), "The classes are not those with the largest cosine.")


def _recall_task():
    """Scores, truth and k; the right recall; and what mistakes would give, {hint: value}: all different."""
    rows, columns, k = int(torch.randint(30, 50, ())), int(torch.randint(10, 14, ())), int(torch.randint(3, 5, ()))
    scores = torch.randn(rows, columns) - 1
    right = torch.rand(rows, columns) < 0.15
    right[torch.arange(rows), torch.randint(columns, (rows,))] = True

    def count(kept, least=1, flip=1):
        hits = 0
        for row, truth in zip((scores * flip).tolist(), right.tolist()):
            top = sorted(range(columns), key=lambda j: -row[j])[:kept]
            hits += sum(truth[j] for j in top) >= (sum(truth) if least == "all" else least)
        return hits / rows
    share = right.gather(1, scores.topk(k, 1).indices).double()
    by_column = torch.stack([right[scores[:, j].topk(k).indices, j].any() for j in range(columns)])
    hints = {count(1): "Only the best answer of each row is looked at: k asks for more.",
             count(k, flip=-1): "These are the k smallest scores: the largest are the best.",
             count(k, "all"): "A row counts as soon as one right answer is there: not all of them have to be.",
             count(k + 1): "One answer too many is looked at: k of them.",
             count(k - 1): "One answer too few is looked at: k of them.",
             share.mean().item(): "This is the share of the k that are right (precision at k): ask of each row whether there is any.",
             (share.sum(1) / right.sum(1)).mean().item(): "This is the share of a row's right answers that were found: here a "
                                                          "row counts fully as soon as one is there.",
             share.all(1).double().mean().item(): "All of the k best have to be right here: one of them is enough.",
             by_column.double().mean().item(): "The columns were searched: queries stand in rows."}
    values = sorted([count(k), *hints])
    if len(hints) < 9 or min(b - a for a, b in zip(values, values[1:])) < 1e-5:        # two mistakes look alike: draw anew
        return _recall_task()
    return scores, right, k, count(k), {hint: value for value, hint in hints.items()}


@exercise("21.4", points=3)
def recall_at(answer):
    takes(answer, "scores", "right", "k")
    draws = [_recall_task() for _ in range(4)]
    found = [answer(scores.clone(), right.clone(), k) for scores, right, k, *_ in draws]
    for got in found:
        expect(got is not None, "The result is None: does the function end with a return?")
        expect(not isinstance(got, int) or got in (0, 1), f"{got} is a count: the share of the rows is asked for.")
        expect(isinstance(got, (int, float)), f"Return a Python number such as 0.25, and not {type(got).__name__}: `.item()` makes "
                                              "one.")
        expect(not 1 < got, "A share is at most 1: a row counts once, however many right answers it has among its best.")
    for hint in draws[0][4]:                                      # once alone, it may be by chance
        expect(any(abs(got - hints[hint]) > 1e-6 for got, (*_, hints) in zip(found, draws)), hint)
    for got, (*_, want, _) in zip(found, draws):
        expect(abs(got - want) < 1e-6, f"The share is {want:.4f}, and yours is {got:.4f}.")
    scores, right, *_ = draws[0]
    expect(answer(scores, right, scores.shape[1]) == 1.0, "With k = M every answer is looked at, so the recall is 1.")
    top = sum(truth[row.index(max(row))] for row, truth in zip(scores.tolist(), right.tolist())) / len(right)
    got = answer(scores, right, 1)
    expect(abs(got - top) < 1e-6, f"With k = 1 the share is {top:.4f}, and yours is {got:.4f}.")


def _unit(x, dim):
    return x if dim is None else F.normalize(x, dim=dim)


@exercise("21.5", points=4)
def clip_loss(answer):
    takes(answer, "pictures", "texts", "log_scale")
    sizes = [(int(torch.randint(5, 9, ())) + k, int(torch.randint(4, 7, ()))) for k in range(3)]
    draws = [(torch.randn(size) * 3, torch.randn(size) * 3, 2 + torch.rand(())) for size in sizes]
    got = [answer(*(part.clone() for part in draw)) for draw in draws]
    for loss in got:
        tensor(loss, (), torch.float32, "The loss")
    got = torch.stack(got).detach()              # of three batches: two formulas may agree on one of them by chance

    def losses(scores, ways=(0, 1), dims=(1, 1)):
        """The loss of each draw; `scores` from cosines (lengths along `dims`), the log of the scale, dot products."""
        of = [scores(_unit(x, dims[0]) @ _unit(y, dims[1]).T, log, x @ y.T) for x, y, log in draws]
        return torch.stack([sum(F.cross_entropy(table.T if way else table, torch.arange(len(table))) for way in ways) / len(ways)
                            for table in of])
    right = losses(lambda c, log, _: c * log.exp())
    for value, hint in (
            (losses(lambda c, log, _: c * log, (0,)), "Both bugs are still in: no exp, and only the rows are asked."),
            (losses(lambda c, log, _: c * log), "exp is missing: the parameter is the logarithm of the scale."),
            (losses(lambda c, log, _: c * log.exp(), (0,)), "Only the pictures ask: each sentence has to find its picture, too."),
            (losses(lambda c, log, _: c * log.exp(), (1,)), "Only the sentences ask: each picture has to find its sentence, too."),
            (2 * right, "The two ways are added: take their mean, so that a blind guess costs ln B."),
            (losses(lambda c, log, _: c / log.exp()), "The cosines are divided by the scale: the temperature is 1 / scale, so "
                                                   "multiply."),
            (losses(lambda c, log, _: c), "The scale is not used."),
            (losses(lambda c, log, dots: dots * log.exp()), "The vectors are not brought to length 1: only directions may "
                                                            "count."),
            *((losses(lambda c, log, _: c * log.exp(), dims=dims), "The length was taken along the batch: each row is a vector.")
              for dims in ((0, 0), (0, 1), (1, 0))),
            *((losses(lambda c, log, _: c * log.exp(), dims=dims), "Only one side was brought to length 1.")
              for dims in ((None, 1), (1, None)))):
        expect(not same(got, value, 1e-4), hint)
    for mine, true in zip(got.tolist(), right.tolist()):
        expect(abs(mine - true) < 1e-4, f"The loss of CLIP is {true:.4f}, and yours gives {mine:.4f}.")
    leaves = [part.clone().requires_grad_() for part in draws[0]]
    with torch.enable_grad():
        loss = answer(*leaves)
    moves = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * 3
    for name, move in zip(("pictures", "texts", "log_scale"), moves):
        expect(move is not None and move.any(), f"No gradient reaches {name}: do not detach it, and make no Python number of it on "
                                                "the way.")


@lru_cache(maxsize=1)
def _model():
    return zoo.load("clip").cpu()


@exercise("21.6", points=4)
def name_all(answer):
    takes(answer, "looks")
    start = int(torch.randint(2 ** 40, 2 ** 60, ()))
    scenes = [world.sample(seed) for seed in range(start, start + 300)]
    there = [{(thing.color, thing.shape) for thing in scene} for scene in scenes]
    truth = torch.tensor([[kind in seen for kind in KINDS] for seen in there])
    got = answer(_model().look_at([scene.image() for scene in scenes]))
    tensor(got, truth.shape, torch.bool, "The answers")
    expect(got.any(), "Nothing is said to be there: every picture shows one thing at least.")
    expect(not got.all(), "Everything is said to be there: cut at a higher cosine.")
    expect(not (got.sum(1) == got[0].sum()).all(), "Every picture gets the same number of kinds: they show one to five.")
    score = (got == truth).all(1).float().mean().item()
    print(f"All 24 answers are right for {score:.1%} of 300 new pictures (target: 95%).")
    expect((got.view(-1, 4, 6).mT.flatten(1) == truth).all(1).float().mean() <= score,
           "The columns stand by shapes first: they should follow KINDS, where the color comes first.")
    more = (got & ~truth).sum().item() > (~got & truth).sum().item()
    expect(score >= 0.95, f"In {score:.0%} of the pictures all 24 answers are right; too {'many' if more else 'few'} kinds are said to be "
                          "there. Choose the cut on examples.")
