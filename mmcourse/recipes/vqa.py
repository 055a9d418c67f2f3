"""Visual question answering (lesson 31): the answer, and beside it which things each step of the question means."""

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F

from mmcourse import device, world
from mmcourse.batches import ANSWERS, STRIDE, encode, pictures
from mmcourse.models.vqa import VQA
from mmcourse.recipes import Recipe, load_weights
from mmcourse.world.programs import bits, facts, objects

KINDS = tuple(kind for kind in world.KINDS if not kind.endswith("texture"))     # the standard world has one texture
MIXED = KINDS + world.STANDARD_KINDS                                    # the twelve of the benchmark twice as often
GRID, PICTURES, EACH = 8, 16, 32
SETS = {"scene", "filter", "relate", "same", "and", "or", "unique"}


def model():
    """A model whose eye has learned to see (`zoo.load("vision")`), and whose other parts have learned nothing."""
    vqa = VQA()
    vqa.eye.load_state_dict(load_weights("vision"))
    return vqa


def sets(program):
    """The sets of things that a question speaks of, in the order in which its program finds them.

    "What color is the star above the cross?" -> [the cross, the star above it]. A question about two sets
    (more circles than squares?) ends with the things of both.
    """
    head, parts = program[0], [part for part in program[1:] if isinstance(part, tuple) and part[0] in SETS]
    found = [one for part in parts for one in sets(part)]
    if head not in SETS:
        return found if len(parts) == 1 else [*found, ("or", *parts)]
    if head == "unique":
        return found
    if head in ("filter", "and"):                       # they only narrow what their parts have found
        found = [one for one in found if one not in parts]
    return [*found, program]


def targets(scene, program, steps=VQA.STEPS):
    """Which patches hold the middle of a thing that a step means: (steps, 64) bool; the last set comes last."""
    truth = np.zeros((steps, GRID * GRID), bool)
    found = sets(program)[-steps:]
    for row, one in zip(truth[steps - len(found):], found):
        for i in bits(objects(one, facts(scene))):
            row[int(scene[i].y * GRID) * GRID + int(scene[i].x * GRID)] = True
    return truth


def asked(first, count, each, kinds=MIXED, spec="standard"):
    """`count` scenes from seed `first` on of which `each` questions of these kinds can be asked: [(scene, questions)]."""
    found = []
    while len(found) < count:
        scene = world.sample(first, spec)
        try:
            found.append((scene, world.questions(scene, each, first, kinds, spec)))
        except world.NothingToAsk:
            pass
        first += 1
    return found


def tensors(pairs):
    """Pictures (B, 3, 64, 64), ids and mask (B, Q, T), answers (B, Q), and what the steps mean (B, Q, S, 64)."""
    scenes, questions = zip(*pairs)
    flat, shape = [one for row in questions for one in row], (len(scenes), len(questions[0]))
    ids, mask = encode([one.text for one in flat])
    answers = torch.tensor([ANSWERS.index(one.answer) for one in flat])
    truth = np.stack([targets(scene, one.program) for scene, row in pairs for one in row])
    return (pictures(scenes), *(part.unflatten(0, shape) for part in (ids, mask, answers, torch.from_numpy(truth))))


def batch(step):
    return tensors(asked(step * STRIDE, PICTURES, EACH))


def loss(model, data, dense=1.0):
    """Cross-entropy of the answers, and `dense` times that of every step's yes or no at every patch."""
    images, ids, mask, answers, truth = data
    logits, scores = model.think(model.eye(images), ids, mask)
    told = F.binary_cross_entropy_with_logits(scores.float(), truth.float())
    return F.cross_entropy(logits.float().flatten(0, 1), answers.flatten()) + dense * 64 * told


@torch.no_grad()
def judge(model, pairs):
    """Shares of right answers, in all ("accuracy") and by kind."""
    model.to(device()).eval()
    right = defaultdict(list)
    for start in range(0, len(pairs), 50):
        rows = pairs[start:start + 50]
        images, ids, mask, answers, _ = (part.to(device()) for part in tensors(rows))
        good = model(images, ids, mask).argmax(-1) == answers
        for row, (_, questions) in zip(good.tolist(), rows):
            for fine, question in zip(row, questions):
                right[question.kind].append(fine)
    total = [fine for part in right.values() for fine in part]
    return {"accuracy": sum(total) / len(total)} | {kind: sum(part) / len(part) for kind, part in right.items()}


def both_right(model, pairs):
    """Of complementary pairs (Goyal et al. 2017), the same question about two scenes one attribute apart, with different
    answers: the share of which both are answered rightly."""
    asked = [(scene, other, one) for scene, questions in pairs for one in questions
             if (other := world.complement(scene, one)) is not None]
    given = [model.answer([one[side].image() for one in asked], [one[2].text for one in asked]) for side in (0, 1)]
    right = [first == one.answer and second == world.execute(one.program, other)
             for first, second, (_, other, one) in zip(*given, asked)]
    return sum(right) / len(right)


def pointing(model, pairs):
    """The pointing game (Zhang et al. 2016) on questions about one thing: how often the middle of the patch where the map
    is highest lies in the thing's box."""
    hits = []
    for scene, questions in pairs:
        about = [one for one in questions if one.program[0] == "query"]
        told = model.ask([scene.image()] * len(about), [one.text for one in about]) if about else []
        for one, said in zip(about, told):
            y, x = ((at + 0.5) / GRID for at in divmod(int(said.map.argmax()), GRID))
            x0, y0, x1, y1 = scene[world.execute(one.program[2], scene)[0]].box
            hits.append(x0 <= x <= x1 and y0 <= y <= y1)
    return sum(hits) / len(hits)


def evaluate(model, seeds=world.split("validation").seeds):
    """On held-out scenes: shares of right answers to the twelve standard kinds, in all and each, and to all kinds."""
    pairs = asked(seeds[0], 500, 24, world.STANDARD_KINDS)
    return judge(model, pairs) | {"all_kinds": judge(model, asked(seeds[0], 300, 29, KINDS))["accuracy"],
                                  "pairs": both_right(model, pairs[:100]), "pointing": pointing(model, pairs[:100])}


RECIPE = Recipe(model=model, batch=batch, loss=loss, steps={"cpu": 1500, "gpu": 4000}, evaluate=evaluate,
                options={"lr": 3e-3, "muon": 0.02, "warmup": 50, "workers": 1, "every": 25})
