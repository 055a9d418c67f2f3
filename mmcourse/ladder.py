"""The fusion ladder, run by one command: `python -m mmcourse.ladder` measures every fusion and writes data/fusion.json.

Fifteen models of equal size get the same pairs, the same number of steps and the same choice of learning rates. Models
of one kind (many settings, three seeds) train side by side in one tensor: `torch.func.vmap` runs them at once.
"""

import datetime
import json
import platform
import time
from itertools import product

import torch
import torch.nn.functional as F
from torch.func import functional_call, stack_module_state, vmap

import mmcourse
from mmcourse import batches, files, world, zoo
from mmcourse.models.fusion import EVERY, PAIR, parameters, sized
from mmcourse.models.transformer import sinusoidal
from mmcourse.training import schedule

SEEDS, BATCH, STEPS, PARAMETERS = 3, 32, 400, 12_000
WARMUP, HASTY = 100, 30                                     # steps in which the learning rate grows
LATE = ("bottleneck", "Q-Former")                           # where the outcome depends on it
PURE = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]  # (redundancy, unique, synergy)
GRID = PURE + list(product((0.0, 0.5), repeat=3))           # each dial alone, and all mixtures of off and half
RATES = (1e-3, 3e-3)                                        # learning rates that every model may choose from
HARD = (0.6, 0.8, 0.8)                                      # where modalities go missing
NOISE = (0.0, 1.0, 2.0, 3.0, 4.0)                           # added to picture tokens, whose own spread is 1
BITS = {"shape": ("circle", "square"), "color": ("red", "blue"), "size": ("small", "large")}
KINDS = ("query_color", "query_shape", "exist", "count", "relate_color", "compare_color")
VQA_STEPS, VQA_PARAMETERS = 400, 40_000


# ---- what the models see: frozen tokens, made once

def word_tokens(ids):
    """Word numbers (..., T) as fixed vectors (..., T, 128): a random one for each word, plus its place.

    There are fewer words than 128, so the linear layer that every fusion begins with can make any embedding of them.
    """
    table = torch.randn(len(batches.WORDS), PAIR, generator=torch.Generator().manual_seed(0))
    return table[ids] + sinusoidal(ids.shape[-1], PAIR)


@torch.no_grad()
def picture_tokens(scenes, grid=8):
    """What the frozen vision encoder says of scenes: (B, grid * grid, 128), means over its 8 x 8 tokens."""
    encoder, step = zoo.load("vision").cpu(), 8 // grid
    parts = [encoder(batches.pictures(scenes[i:i + 50])) for i in range(0, len(scenes), 50)]
    return torch.cat(parts).view(-1, grid, step, grid, step, PAIR).mean((2, 4)).flatten(1, 2)


def look(scene):
    """The number, 0 to 7, of how the only thing of a dial scene looks."""
    bits = [words.index(getattr(scene[0], part)) for part, words in BITS.items()]
    return bits[0] * 4 + bits[1] * 2 + bits[2]


class Album:
    """Pictures of the eight looks at random places, as tokens: a pair of any dial setting finds its picture here."""

    def __init__(self, count, seed):
        scenes = [pair.scene for pair in world.three_dials(count, seed)]
        self.tokens, looks = picture_tokens(scenes, 2), torch.tensor([look(scene) for scene in scenes])
        self.places = [(looks == number).nonzero()[:, 0] for number in range(8)]

    def pairs(self, count, seed, dials):
        """Pairs at these dials: places in the album (count,), words (count, T) and labels (count,)."""
        made = world.three_dials(count, seed, *dials)
        random = torch.Generator().manual_seed(seed % 2 ** 31)
        draw = torch.rand(count, generator=random).tolist()
        choices = [self.places[look(pair.scene)] for pair in made]
        shown = torch.stack([places[int(u * len(places))] for places, u in zip(choices, draw)])
        words = batches.encode([pair.sentence for pair in made])[0][:, 1:-1]                # "a small red circle"
        return shown, words, torch.tensor([pair.label for pair in made])


# ---- many models side by side

def train(models, batch, steps, rate, warmup=WARMUP):
    """Train models of one kind at once, each on its own data: their parameters stacked, {name: (K, ...)}.

    batch(step) gives inputs (a, b, mask, present) and labels, all with K in front.
    """
    stacked, _ = stack_module_state(models)
    run = side_by_side(models[0])
    optimizer = torch.optim.AdamW(stacked.values(), lr=rate, weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(step, steps, warmup)
        inputs, labels = batch(step)
        loss = F.cross_entropy(run(stacked, *inputs).flatten(0, 1), labels.flatten(), reduction="sum") / labels.shape[1]
        optimizer.zero_grad()
        loss.backward()                                     # the sum over models: each gets its own gradient
        optimizer.step()
    return {name: value.detach() for name, value in stacked.items()}


def side_by_side(model):
    """A function of stacked parameters and inputs: the logits (K, B, outputs) of K models like this one."""
    return vmap(lambda values, a, b, mask, present: functional_call(model, values, (a, b, mask, present)))


def built(kind, count, target, outputs=2):
    """`count` models of a kind, by seeds 0, 1, 2, ...: the same seeds for every kind."""
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(sized(EVERY[kind], target, outputs))
    return made


@torch.no_grad()
def judge(model, stacked, tokens, words, mask, present, labels):
    """Accuracy and loss of K stacked models, each on its own pairs: two lists of K numbers."""
    count = len(labels)
    logits = torch.cat([side_by_side(model)(stacked, *(part[:, i:i + 250] for part in (tokens, words, mask, present)))
                        for i in range(0, labels.shape[1], 250)], 1)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(count, -1).mean(1)
    return (logits.argmax(-1) == labels).float().mean(1).tolist(), loss.tolist()


# ---- task 1: the dials

class Dials:
    """Pairs for K models, each with its dial setting; with `drop`, modalities go missing in training (K,) booleans."""

    def __init__(self, albums, settings, drop=None, test=1000, first=2 ** 31):
        self.albums, self.drop = albums, drop
        taught = {dials: albums[0].pairs(BATCH * STEPS, 1, dials) for dials in set(settings)}
        asked = {dials: albums[1].pairs(test, first, dials) for dials in set(settings)}
        self.taught, self.asked = ([torch.stack(parts) for parts in zip(*(data[dials] for dials in settings))]
                                   for data in (taught, asked))

    def batch(self, step):
        shown, ids, labels = (part[:, step * BATCH:(step + 1) * BATCH] for part in self.taught)
        present = torch.ones(*labels.shape, 2, dtype=torch.bool)
        if self.drop is not None:                           # a third without a, a third without b, a third whole
            random = torch.rand(labels.shape, generator=torch.Generator().manual_seed(step))
            gone = torch.stack([random < 1 / 3, random > 2 / 3], -1)
            present = present & ~(gone & self.drop[:, None, None])
        return (self.albums[0].tokens[shown], word_tokens(ids), torch.ones_like(ids, dtype=torch.bool), present), labels

    def judge(self, model, stacked, noise=0.0, missing=None):
        """Accuracy and loss of K models, with noise on the picture's tokens or without modality 0 or 1."""
        shown, ids, labels = self.asked
        tokens = self.albums[1].tokens[shown]
        tokens = tokens + noise * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(5))
        present = torch.ones(*labels.shape, 2, dtype=torch.bool)
        if missing is not None:
            present[..., missing] = False
        return judge(model, stacked, tokens, word_tokens(ids), torch.ones_like(ids, dtype=torch.bool), present, labels)


def tune(kind, albums):
    """The learning rate of a kind: the best on validation pairs of two settings, two seeds each."""
    task = Dials(albums, [(0.0, 0.0, 1.0), (0.5, 0.5, 0.5)] * 2, test=500, first=2 ** 31 + 10 ** 6)
    models = built(kind, 4, PARAMETERS)
    scores = {rate: task.judge(models[0], train(models, task.batch, STEPS, rate)) for rate in RATES}
    return max(RATES, key=lambda rate: (sum(scores[rate][0]), -sum(scores[rate][1])))


def grid(kind, task, rate):
    """A kind on all dial settings, three seeds each: {"accuracy": (11, 3), "loss": (11, 3)} as nested lists."""
    models = [model for _ in GRID for model in built(kind, SEEDS, PARAMETERS)]
    scores = task.judge(models[0], train(models, task.batch, STEPS, rate))
    return {name: [[round(value, 4) for value in values[i:i + SEEDS]] for i in range(0, len(values), SEEDS)]
            for name, values in zip(("accuracy", "loss"), scores)}


def robustness(kind, task, rate):
    """A kind where things go wrong: accuracies of three seeds, without and with modality dropout in training."""
    models = built(kind, SEEDS, PARAMETERS) + built(kind, SEEDS, PARAMETERS)
    stacked, found = train(models, task.batch, STEPS, rate), {}
    tests = {f"noise {noise:g}": {"noise": noise} for noise in NOISE}
    tests |= {"no picture": {"missing": 0}, "no words": {"missing": 1}}
    for name, options in tests.items():
        accuracy = [round(value, 4) for value in task.judge(models[0], stacked, **options)[0]]
        found[name] = {"plain": accuracy[:SEEDS], "dropout": accuracy[SEEDS:]}
    return found


def starts(kind, albums, count=8):
    """Accuracies of eight starts of a kind on XOR, by the length of the warm-up: {100: [...], 30: [...]}."""
    task, models = Dials(albums, [(0.0, 0.0, 1.0)] * count), built(kind, count, PARAMETERS)
    found = {warmup: task.judge(models[0], train(models, task.batch, STEPS, RATES[0], warmup))[0] for warmup in (WARMUP, HASTY)}
    return {warmup: [round(value, 4) for value in accuracy] for warmup, accuracy in found.items()}


# ---- task 2: questions about pictures

class Questions:
    """Questions of several kinds about standard scenes, the same for three models side by side."""

    def __init__(self, count=2500, test=500, each=12):
        self.answers = sorted({answer for kind in KINDS for answer in world.answers(kind)})
        self.taught, self.asked = self.made(count, each, 0), self.made(test, each, 2 ** 31)

    def made(self, count, each, first):
        """Picture tokens (count, 16, 128), and of each question its picture, words, mask, answer and kind."""
        scenes, asked = [], []
        for seed in range(first, first + count):
            scenes.append(world.sample(seed))
            try:
                asked += [(seed - first, question) for question in world.questions(scenes[-1], each, seed, KINDS)]
            except world.NothingToAsk:
                pass
        shown, found = zip(*asked)
        return (picture_tokens(scenes, 4), torch.tensor(shown), *batches.encode([question.text for question in found]),
                torch.tensor([self.answers.index(question.answer) for question in found]),
                torch.tensor([KINDS.index(question.kind) for question in found]))

    def inputs(self, data, pick):
        """What models see of the questions `pick`, a tensor (K, B) of places, and the labels (K, B)."""
        tokens, shown, ids, mask, labels, _ = data
        present = torch.ones(*pick.shape, 2, dtype=torch.bool)
        return (tokens[shown[pick]], word_tokens(ids[pick]), mask[pick], present), labels[pick]

    def batch(self, step):
        random = torch.Generator().manual_seed(step)
        pick = torch.randint(len(self.taught[1]), (1, BATCH), generator=random)
        return self.inputs(self.taught, pick.expand(SEEDS, -1))

    @torch.no_grad()
    def judge(self, model, stacked):
        """Accuracies of three models, overall and of each kind of question: {"all": [...], "exist": [...], ...}."""
        run, kinds, hits = side_by_side(model), self.asked[-1], []
        for pick in torch.arange(len(kinds)).split(200):
            inputs, labels = self.inputs(self.asked, pick.expand(SEEDS, -1))
            hits.append(run(stacked, *inputs).argmax(-1) == labels)
        hits = torch.cat(hits, 1).float()                                       # (3, questions)
        parts = {"all": hits} | {kind: hits[:, kinds == number] for number, kind in enumerate(KINDS)}
        return {name: [round(value, 4) for value in part.mean(1).tolist()] for name, part in parts.items()}


def vqa(kind, task, rate):
    """A kind on questions: accuracies of three seeds by kind of question, its size, and the time of one step."""
    models = built(kind, SEEDS, VQA_PARAMETERS, len(task.answers))
    scores = task.judge(models[0], train(models, task.batch, VQA_STEPS, rate))
    return {"accuracy": scores, "parameters": parameters(models[0]), "milliseconds": step_time(models[0], task)}


def step_time(model, task):
    """Milliseconds of one core for 32 questions, forward and backward: the fastest of 20 steps."""
    inputs, labels = ([part[0] for part in task.batch(0)[0]], task.batch(0)[1][0])
    times = []
    for _ in range(20):
        start = time.process_time()
        F.cross_entropy(model(*inputs), labels).backward()
        times.append(time.process_time() - start)
    return round(min(times) * 1000, 2)


# ---- the whole ladder

def run(report=print):
    """Measure everything, part by part, and return it. A run that was cut off goes on where it stopped."""
    kept = mmcourse.root() / "runs" / "ladder.json"
    found = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    albums = Album(1200, 1), Album(800, 2 ** 31)
    tasks = {"grid": Dials(albums, [dials for dials in GRID for _ in range(SEEDS)]),
             "robustness": Dials(albums, [HARD] * 2 * SEEDS, torch.tensor([False] * SEEDS + [True] * SEEDS)),
             "vqa": Questions()}
    for part, kinds, measure in (
            ("rate", EVERY, lambda kind: tune(kind, albums)),
            ("grid", EVERY, lambda kind: grid(kind, tasks["grid"], found["rate"][kind])),
            ("starts", LATE, lambda kind: starts(kind, albums)),
            ("robustness", EVERY, lambda kind: robustness(kind, tasks["robustness"], found["rate"][kind])),
            ("vqa", EVERY, lambda kind: vqa(kind, tasks["vqa"], found["rate"][kind]))):
        for kind in kinds:
            if kind in found.setdefault(part, {}):
                continue
            start = time.perf_counter()
            found[part][kind] = measure(kind)
            found["seconds"] = round(found.get("seconds", 0) + time.perf_counter() - start)
            kept.parent.mkdir(exist_ok=True)
            files.write(kept, json.dumps(found))
            report(f"{found['seconds']:4} s  {part}: {kind}")
    kept.unlink()
    return found


def main():
    """Run the ladder and write data/fusion.json, with seeds, versions and the date."""
    torch.set_num_threads(1)
    found = run()
    facts = {"command": "python -m mmcourse.ladder", "date": datetime.date.today().isoformat(), "seeds": list(range(SEEDS)),
             "versions": {"python": platform.python_version(), "torch": torch.__version__, "mmcourse": mmcourse.__version__},
             "grid": GRID, "hard": HARD, "noise": NOISE, "kinds": KINDS, "steps": STEPS, "batch": BATCH,
             "vqa_steps": VQA_STEPS, "parameters": {kind: parameters(sized(EVERY[kind], PARAMETERS)) for kind in EVERY}}
    path = mmcourse.root() / "data" / "fusion.json"
    files.write(path, json.dumps(facts | {"results": found}) + "\n")
    print(f"{path.name}: {found['seconds']} seconds")


if __name__ == "__main__":
    main()
