"""A Transformer that reads a question and writes its program (lesson 12): `zoo.load("parser").programs(questions)`.

A program is nested tuples; written as a row of words, each head before its parts, it needs no brackets, because every
head has a fixed number of parts: ("query", "color", ("unique", ...)) is "query color unique ...".
"""

from collections import defaultdict

import torch

from mmcourse import device, world
from mmcourse.models.transformer import END, EncoderDecoder
from mmcourse.recipes import Recipe

SPEC, KINDS = "rich", world.KINDS
ATTRIBUTES = {name: world.SPECS[SPEC].words(name) for name in ("size", "color", "texture", "shape")}
PARTS = {"scene": 0, "unique": 1, "exist": 1, "count": 1, "and": 2, "or": 2, "more": 2, "fewer": 2, "as many": 2,
         "relate": 1, "same": 1, "query": 1, "equal": 2}             # sets that follow each head
NAMED = ("relate", "same", "query", "equal")                        # these first say a relation or an attribute
SPECIAL = ("<pad>", "<start>", "<end>")
QUESTION_WORDS = (*SPECIAL, *"""? a above an and another any are as below big black blue circle circles color cross crosses crown
crowns cyan diamond diamonds do fewer green have heart hearts how is large left little many more object objects of or orange
other outlined over pink red right same see shape size small solid square squares star stars striped texture than the there
thing things to triangle triangles under what yellow you""".split())        # fixed: the shipped weights go by this order
PROGRAM_WORDS = (*SPECIAL, "filter", *PARTS, *world.RELATIONS, *ATTRIBUTES, *sum(ATTRIBUTES.values(), ()))


def flat(program):
    """A program as a row of words: ("count", ("scene",)) -> ["count", "scene"]."""
    if isinstance(program, str):
        return [program]
    return [word for part in program for word in flat(part)]


def nested(words):
    """A row of words as a program again. Raises ValueError where the words are no program."""
    rest = list(words)

    def take():
        if not rest:
            raise ValueError("The program ends too early.")
        return rest.pop(0)

    def part():
        head = take()
        if head == "filter":
            kept = []
            while rest and rest[0] not in PARTS and rest[0] != "filter":
                kept.append(take())
            return ("filter", tuple(kept), part())
        if head not in PARTS:
            raise ValueError(f"No program starts with {head!r}.")
        name = (take(),) if head in NAMED else ()
        return (head, *name, *(part() for _ in range(PARTS[head])))

    program = part()
    if rest:
        raise ValueError(f"The program is complete before {rest[0]!r}.")
    return program


def split(text):
    """The words of a question, its question mark apart: "a star?" -> ["a", "star", "?"]."""
    return text.replace("?", " ?").split()


def rows(sentences, vocabulary):
    """Lists of words as ids (B, T), each row with END behind it and filled up with PAD.

    Raises ValueError for a word that the vocabulary lacks.
    """
    number = {word: i for i, word in enumerate(vocabulary)}
    for word in set().union(*sentences) - number.keys():
        raise ValueError(f"The model does not know the word {word!r}: it knows {', '.join(vocabulary[3:])}.")
    ids = [torch.tensor([*(number[word] for word in words), END]) for words in sentences]
    return torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)


def asked(seed, count, kinds=KINDS, spec=SPEC):
    """`count` pairs (scene, question), up to four of each scene from `seed` on."""
    found = []
    while len(found) < count:
        scene = world.sample(seed, spec)
        try:
            found += [(scene, question) for question in world.questions(scene, 4, seed, kinds, spec)]
        except world.NothingToAsk:
            pass
        seed += 1
    return found[:count]


def tensors(pairs):
    """Pairs (scene, question) as ids of the questions (B, S) and of their programs (B, T)."""
    return (rows([split(question.text) for _, question in pairs], QUESTION_WORDS),
            rows([flat(question.program) for _, question in pairs], PROGRAM_WORDS))


class Parser(EncoderDecoder):
    """The encoder-decoder with the words of questions and programs."""

    def __init__(self, **options):
        super().__init__(len(QUESTION_WORDS), len(PROGRAM_WORDS), **options)

    def programs(self, texts):
        """The program of each question, or None where the model wrote none that can be read."""
        source = rows([split(text) for text in texts], QUESTION_WORDS).to(self.output.weight.device)
        programs = []
        for row in self.generate(source, longest=48).tolist():
            try:
                programs.append(nested([PROGRAM_WORDS[i] for i in row if i >= len(SPECIAL)]))
            except ValueError:
                programs.append(None)
        return programs


def right(program, scene, question):
    """Does the program give the true answer on the scene?"""
    try:
        return program is not None and world.execute(program, scene) == question.answer
    except ValueError:                       # no such thing here, or several, or an unknown word
        return False


def evaluate(model, pairs=None):
    """Shares of held-out questions whose program gives the right answer, in all and by family, and is the true one."""
    pairs = pairs or asked(world.split("rich").seeds[0], 4000)
    model = model.to(device()).eval()
    programs = [program for i in range(0, len(pairs), 250)
                for program in model.programs([question.text for _, question in pairs[i:i + 250]])]
    scores = defaultdict(list)
    for program, (scene, question) in zip(programs, pairs):
        good = right(program, scene, question)
        scores["answer"].append(good)
        scores["exact"].append(program == question.program)
        scores[question.kind.rpartition("_")[0] or question.kind].append(good)
    return {name: sum(values) / len(values) for name, values in scores.items()}


RECIPE = Recipe(
    model=lambda: Parser(d_model=64, num_heads=4, num_layers=2),
    batch=lambda step: tensors(asked(step * 100, 64)),
    loss=lambda model, data: model.loss(*data),
    steps={"cpu": 1500, "gpu": 3000},
    evaluate=evaluate,
    options={"lr": 3e-3},
)
