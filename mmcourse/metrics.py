"""Scores, each equal to its reference implementation."""

import math
import re
from collections import Counter
from functools import lru_cache

import torch

from mmcourse import world

# ---- answers to questions (lesson 31)

ARTICLES, MARKS = ("a", "an", "the"), ';/[]"{}()=+\\_-><@`,?!'
DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(
    "zero one two three four five six seven eight nine ten".split())}
SHORTENED = """ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's
where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've
you'd you'd've you'll you're you've""".split()
SHORTENED = {word[:i] + word[i + 1:]: word for word in SHORTENED for i, letter in enumerate(word) if letter == "'"}
SHORTENED["somebody'd"] = "somebodyd"                      # so it is published


def vqa_marks(text):
    """A text without its punctuation, as VQA's vqaEval.py does it, with its quirks.

    A mark beside a space goes, any other becomes a space; but one comma between digits makes all marks go. Points go, 32
    at most, unless a digit follows.
    """
    out = text
    for mark in MARKS:
        gone = mark + " " in text or " " + mark in text or re.search(r"\d,\d", text)
        out = out.replace(mark, "" if gone else " ")
    return re.sub(r"\.(?!\d)", "", out, count=32)


def vqa_accuracy(answer, humans):
    """The official score of an answer, 0 to 1 (Antol et al. 2015; Goyal et al. 2017).

    humans: what people said, ten strings in VQA. Each is left out once; of the others,
    those that agree count a third each, at most one in all. The mean is 0, 0.3, ..., 1.
    As published: the answer is made lower case, loses articles, number words become digits;
    people's lose their punctuation alone, and only if they are not all the same.
    """
    if not humans:
        raise ValueError("There is nothing to compare with: give what people said.")
    words = vqa_marks(re.sub(r"[\n\t]", " ", answer).strip()).lower().split()
    words = [DIGITS.get(word, word) for word in words]
    answer = " ".join(SHORTENED.get(word, word) for word in words if word not in ARTICLES)
    if len(set(humans)) > 1:
        humans = [vqa_marks(human) for human in humans]
    agree = sum(human == answer for human in humans)
    return sum(min(1, (agree - (human == answer)) / 3) for human in humans) / len(humans)


def reliability(confidence, right, bins=10):
    """Mean confidence, share right and share of all answers, bin by bin: (bins, 3).

    confidence (N,) from 0 to 1, right (N,) booleans. Bin k holds what lies above k / bins,
    and not above (k + 1) / bins; an empty one has zeros.
    """
    confidence, right = confidence.double(), right.double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    columns = torch.stack([confidence, right, torch.ones_like(right)], -1)         # (N, 3)
    sums = torch.zeros(bins, 3, dtype=torch.float64).index_add(0, place, columns)
    count = sums[:, 2:]
    return torch.cat([sums[:, :2] / count.clamp(min=1), count / len(right)], 1)


def calibration_error(confidence, right, bins=10):
    """The expected calibration error (Guo et al. 2017): how far sure is from right."""
    sure, hit, share = reliability(confidence, right, bins).T
    return ((sure - hit).abs() * share).sum().item()


def pointing_game(maps, masks, tolerance=2):
    """Does the brightest place of a map lie on the thing? (Zhang et al. 2016): (B,) booleans.

    maps (B, h, w), masks (B, H, W) boolean. The place is the middle of the brightest cell; a pixel of the thing within
    `tolerance` pixels of it counts, as in the paper (15 there, in pictures of about 500).
    """
    (batch, rows, columns), (_, height, width) = maps.shape, masks.shape
    best = maps.flatten(1).argmax(1)
    y, x = ((best // columns + 0.5) * height / rows).long(), ((best % columns + 0.5) * width / columns).long()
    near = torch.nn.functional.max_pool2d(masks[:, None].float(), 2 * tolerance + 1, 1, tolerance)[:, 0] > 0
    return near[torch.arange(batch), y, x]


def deletion_curve(confidence, images, maps, counts=(0, 1, 2, 4, 8, 16, 32, 64)):
    """How sure a model stays while the cells that a map calls important are painted white (Petsiuk et al. 2018).

    confidence(images (B, 3, H, W)) -> (B,); maps (B, h, w). Row k of the result (len(counts), B) is with the counts[k]
    brightest cells gone. A map that shows what matters makes it fall early.
    """
    order = maps.flatten(1).argsort(dim=1, descending=True).argsort(1).view_as(maps)      # 0: the brightest cell
    order = torch.nn.functional.interpolate(order[:, None].float(), size=images.shape[-2:])
    return torch.stack([confidence(images.masked_fill(order < count, 1.0)) for count in counts])


# ---- captions, judged by words (lesson 32): `said` is a sentence for each picture, `references` true ones for each

def tokens(sentence):
    """The words of a sentence in small letters, without punctuation, as the tokenizer of COCO's captions leaves them."""
    return re.findall(r"\w+", sentence.lower())


def ngrams(words, n):
    """How often each run of n words occurs: Counter of tuples."""
    return Counter(zip(*(words[i:] for i in range(n))))


def bleu(said, references, longest=4):
    """Corpus BLEU (Papineni et al. 2002), 0 to 1: how many runs of up to 4 words stand in a reference, too.

    Counted over all pictures together, never more of a run than one reference holds; the
    closest length of a reference counts. The two tiny numbers are those of coco-caption.
    """
    hits, runs, length, target = [0] * longest, [0] * longest, 0, 0
    for sentence, true in zip(said, references, strict=True):
        words, true = tokens(sentence), [tokens(other) for other in true]
        length += len(words)
        target += min((abs(len(other) - len(words)), len(other)) for other in true)[1]
        for n in range(1, longest + 1):
            mine, most = ngrams(words, n), Counter()
            for other in true:
                most |= ngrams(other, n)                       # | keeps the larger count
            hits[n - 1] += (mine & most).total()               # & keeps the smaller count
            runs[n - 1] += mine.total()
    shares = [(hit + 1e-15) / (run + 1e-9) for hit, run in zip(hits, runs)]
    ratio = (length + 1e-15) / (target + 1e-9)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0    # nobody wins by saying little
    return brevity * math.prod(shares) ** (1 / longest)


def common(a, b):
    """The length of the longest common subsequence of two lists: words in the same order, gaps allowed."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = row
        row = [0]
        for j, other in enumerate(b):
            row.append(before[j] + 1 if word == other else max(row[j], before[j + 1]))
    return row[-1]


def rouge_l(said, references, beta=1.2):
    """ROUGE-L as coco-caption computes it (Lin 2004), 0 to 1, the mean over pictures.

    Precision and recall of the longest common subsequence, each the best over the
    references by itself; recall weighs beta times as much.
    """
    scores = []
    for sentence, true in zip(said, references, strict=True):
        words, true = tokens(sentence), [tokens(other) for other in true]
        shared = [common(words, other) for other in true]
        precision = max(shared) / max(len(words), 1)
        recall = max(n / max(len(other), 1) for n, other in zip(shared, true))
        below = recall + beta ** 2 * precision
        scores.append((1 + beta ** 2) * precision * recall / below if below else 0.0)
    return sum(scores) / len(scores)


def cider_d(said, references, longest=4, sigma=6.0):
    """CIDEr-D (Vedantam et al. 2015), 0 to 10, the mean over pictures: rare runs of words count more.

    A run that stands in the references of df of N pictures weighs log(N / df). With one
    picture every weight is 0, and so is the score.
    """
    kept = [[tokens(other) for other in true] for true in references]
    seen = Counter(run for true in kept for run in
                   {run for words in true for n in range(1, longest + 1) for run in ngrams(words, n)})

    def vector(words, n):
        return {run: count * (math.log(len(kept)) - math.log(max(seen[run], 1)))
                for run, count in ngrams(words, n).items()}

    def cosine(a, b):
        norms = math.hypot(*a.values()) * math.hypot(*b.values())
        return sum(min(x, b.get(run, 0.0)) * b.get(run, 0.0) for run, x in a.items()) / norms if norms else 0.0

    total = 0.0
    for sentence, true in zip(said, kept, strict=True):
        words = tokens(sentence)
        for other in true:
            apart = max(len(words), 1) - max(len(other), 1)
            close = math.exp(-apart ** 2 / (2 * sigma ** 2))
            total += close * sum(cosine(vector(words, n), vector(other, n)) for n in range(1, longest + 1)) / len(true)
    return 10 * total / longest / len(kept)


# ---- captions, judged by the truth: the parser reads the sentence, the scene knows what is there

def named(sentence):
    """What a statement names: for each of its sentences a list of things, each a set of a program (see world.programs).

    "a red star and two squares. a star over a square" names [star, square, square], then [star over square].
    What a sentence denies is not named. Raises ValueError for what the parser cannot read.
    """
    def things(program):
        match program:
            case ("exist", *sets):
                return sets
            case ("number", n, one):
                return [one] * n
            case ("every", *parts):
                return [thing for part in parts for thing in things(part)]
        return []
    return [things(world.parse(part)) for part in sentence.split(".") if part.strip()]


def described(thing):
    """The words that are said of a thing, a frozenset, and the (relation, other thing) pairs."""
    match thing:
        case ("filter", words, inner):
            more, links = described(inner)
            return more | set(words), links
        case ("unique", inner):
            return described(inner)
        case ("and", left, right):
            return described(left)[0] | described(right)[0], described(left)[1] + described(right)[1]
        case ("relate" | "same", how, other):
            return frozenset(), [(how, other)]
    return frozenset(), []


def within(thing):
    """The thing and all that stand in relations to it, as deep as they go."""
    return [thing, *(more for _, other in described(thing)[1] for more in within(other))]


def matched(wanted, there):
    """Which thing is which object: pairs (i, j), each used once, that share the most words in all.

    wanted and there are lists of sets of words.
    """
    @lru_cache(maxsize=None)
    def best(i, free):
        if i == len(wanted):
            return 0, ()
        options = [best(i + 1, free)]
        for j in free:
            score, pairs = best(i + 1, free - {j})
            options.append((score + len(wanted[i] & there[j]), ((i, j), *pairs)))
        return max(options, key=lambda option: option[0])
    return best(0, frozenset(range(len(there))))[1]


def holds(scene, program):
    """Is a program true of the scene? "the" of nothing or of several things makes it false."""
    try:
        return world.execute(program, scene) == "yes"
    except world.NotUnique:
        return False


def tuple_scores(scene, sentence):
    """SPICE's idea (Anderson et al. 2016) without a guess: precision, recall and F1 of the facts a statement tells.

    A fact is (object, word), or a relation. Told facts that are false lower the precision; every word of every object
    should be told, "solid" excepted; relations need not. Raises ValueError for what the parser cannot read.
    """
    there = [{thing.size, thing.color, thing.texture, thing.shape} for thing in scene]
    should = {(j, word) for j, words in enumerate(there) for word in words - {"solid"}}
    facts, links, false = set(), set(), 0
    for things in named(sentence):
        others = [[other] for thing in things for other in within(thing)[1:]]
        for group in [things, *others]:
            wanted = [described(thing)[0] for thing in group]
            right = {(j, word) for i, j in matched(wanted, there) for word in wanted[i] & there[j]}
            false += sum(map(len, wanted)) - len(right)
            facts |= right
        told = [thing for thing in things if described(thing)[1]]
        links |= {thing for thing in told if holds(scene, ("exist", thing))}
        false += len([thing for thing in told if thing not in links])
    right = len(facts) + len(links)
    precision, recall = right / max(right + false, 1), len(facts & should) / len(should)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def hallucinated(scene, sentence):
    """The things that a statement names and that fit no object, each as the words said of it (Rohrbach et al. 2018: CHAIR).

    Raises ValueError for what the parser cannot read.
    """
    found = [described(each)[0] for things in named(sentence) for thing in things for each in within(thing)]
    return [words for words in found if not any(words <= {thing.size, thing.color, thing.texture, thing.shape}
                                                for thing in scene)]


def is_true(scene, sentence):
    """Is a sentence wholly true of a scene? One that the parser cannot read is not."""
    try:
        return world.satisfies(scene, sentence)
    except ValueError:
        return False


def truthfulness(scenes, said):
    """What is true of captions, one for each scene: {name: share}.

    true: wholly true; hallucinating: names a thing that is not there; f1: the mean of
    `tuple_scores`; unread: no sentence of this world (neither true nor worth an f1).
    """
    rows = []
    for scene, sentence in zip(scenes, said, strict=True):
        try:
            rows.append((world.satisfies(scene, sentence), bool(hallucinated(scene, sentence)),
                         tuple_scores(scene, sentence)[2], False))
        except ValueError:
            rows.append((False, False, 0.0, True))
    return {name: sum(column) / len(rows) for name, column in zip(("true", "hallucinating", "f1", "unread"), zip(*rows))}


def judged_pairs(count, first=0):
    """To judge a metric of captions: (true caption, false caption, references) of each scene, one new true one, one false
    one, and five true ones of which the first names every thing. `count` scenes from seed `first` on."""
    found, spec = [], world.Spec(objects=(2, 5))
    for seed in range(first, first + count):
        scene = world.sample(seed, spec)
        told = scene.captions(12, seed)
        references = [scene.caption(seed, "full"), *told[:4]]
        new = [caption for caption in told[4:] if caption not in references]
        if new:
            found.append((new[0], world.negatives(scene, 1, seed, spec)[0].text, references))
    return found


def share_right(metric, pairs):
    """How often metric(caption, references) scores the true caption of `judged_pairs` higher, ties counting half."""
    marks = []
    for true, false, references in pairs:
        high, low = (float(metric(caption, list(references))) for caption in (true, false))
        marks.append((high > low) + 0.5 * (high == low))
    return sum(marks) / len(marks)


# ---- generated pictures (lesson 34): features (N, D) of pictures, as a network sees them

def fid(real, made):
    """The Frechet distance of two clouds of features (Heusel et al. 2017): of Gaussians with their means and covariances.

    It is biased: few pictures make it larger, so compare only with as many. Needs more pictures than features.
    """
    real, made = real.double(), made.double()
    spread = [features.T.cov().view(2 * real.shape[1:]) for features in (real, made)]
    root = torch.linalg.eigvals(spread[0] @ spread[1]).sqrt().real.sum()
    return ((real.mean(0) - made.mean(0)).square().sum() + spread[0].trace() + spread[1].trace() - 2 * root).item()


def kid(real, made):
    """The kernel distance of two clouds of features (Binkowski et al. 2018): zero on average where nothing differs, at any
    number of pictures. The kernel is (x y / D + 1) ** 3."""
    real, made = real.double(), made.double()

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(a):
        return (kernel(a, a).sum() - kernel(a, a).trace()) / (len(a) * (len(a) - 1))
    return (among(real) + among(made) - 2 * kernel(real, made).mean()).item()
