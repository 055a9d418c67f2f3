# ---
# title: Captioning
# question: A model writes a sentence about a picture. Is it fluent, or is it true?
# minutes: 90
# level: intermediate
# objectives:
#   - build and train a model that writes sentences about pictures
#   - measure what teacher forcing hides
#   - choose between greedy search, beam search and sampling
#   - compute BLEU, ROUGE-L and CIDEr-D by hand, and show a lie that they like
#   - judge captions by the facts they tell, and see where the model looks at each word
# prerequisites: [12, 14]
# device: Two CPU cores are enough; a GPU trains longer.
# words:
#   caption: 图像描述
#   encoder-decoder: 编码器-解码器
#   teacher forcing: 教师强制
#   exposure bias: 暴露偏差
#   beam search: 束搜索
#   length penalty: 长度惩罚
#   reference: 参考描述
#   n-gram: n元语法
#   hallucination: 幻觉
#   reward: 奖励
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which caption is better?
# People looked at the picture below and wrote three sentences about it, the **references**. Two programs wrote a **caption** each.
#
# Predict before you run on: one of the two captions is false. Which one gets the higher score from BLEU, the measure that most papers print?

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import budget, device, metrics, show, widgets, world, zoo
from mmcourse.batches import END, PAD, START, WORDS, decode, encode, pictures
from mmcourse.models.attention import causal_mask, prefix_mask
from mmcourse.models.transformer import Decoder, Encoder, TokenEmbedding
from mmcourse.training import fit

# %%
pair = world.Scene((world.Object("circle", "red", "large", x=0.25, y=0.5),
                    world.Object("square", "blue", "small", x=0.75, y=0.5)))
references = ["a large red circle left of a small blue square",
              "a red circle and a small blue square",
              "there is a large red circle to the left of a blue square"]
one = "a large blue circle left of a small red square"
two = "to the right of the circle there is a little square"

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 2.6), width_ratios=(1, 2.6))
show.panel(left, pair.image(256))
right.axis("off")
lines = ["references:", *("    " + text for text in references), "",
         "caption one:  " + one, "caption two:  " + two]
right.text(0, 0.95, "\n".join(lines), va="top", fontsize=11, linespacing=1.5)
show.figure(fig, alt="A large red circle left of a small blue square, three references "
                     "and two captions. Caption one has the two colors swapped.")

# %% slideshow={"slide_type": "fragment"}
for name, caption in (("one", one), ("two", two)):
    score = metrics.bleu([caption], [references])
    print(f"caption {name}: BLEU-4 = {score:.2f}, true: {world.satisfies(pair, caption)}")

# %% [markdown] slideshow={"slide_type": "notes"}
# Let the room vote first. Most people expect the score to be low for the false caption. It has swapped the two colors, so nearly all its words and many of its runs of words stand in the references. The true caption uses other words and gets nothing. Keep this in mind for the second half.

# %% [markdown] slideshow={"slide_type": "fragment"}
# The lie wins. So this lesson has two halves: first build a model that writes, then find out whether **what it writes is true**. In our world a parser can read every sentence and the scene knows the answer, so we can measure what other courses have to guess.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## From picture to sentence
# You own both parts already. Lesson 14's encoder, the **eye**, turns a picture into 65 vectors. Lesson 12's **decoder** writes one word after the other and may look at a context through cross-attention. In lesson 12 the context was a sentence. Now it is a picture. Nothing else changes. The idea is older than Transformers: Vinyals and others (2015) joined a CNN and an LSTM, Xu and others (2015) let it attend to places.

# %% slideshow={"slide_type": "-"}
class Writer(nn.Module):
    """seen (B, 65, D) and words so far (B, T) -> logits of each next word (B, T, V)"""

    def __init__(self, num_layers=2, d_model=128):
        super().__init__()
        self.words = TokenEmbedding(len(WORDS), d_model, "learned", max_length=64)
        self.decoder = Decoder(num_layers, d_model, num_heads=4)
        self.output = nn.Linear(d_model, len(WORDS), bias=False)

    def forward(self, seen, ids):
        return self.output(self.decoder(self.words(ids), seen))


eye = zoo.load("vision").vit                               # trained in lesson 14
with torch.no_grad():
    seen = eye(pictures([pair]).to(device()))
ids, _ = encode([references[0]])
writer = Writer().to(device())
print("the eye gives", tuple(seen.shape))
print("the words    ", tuple(ids.shape))
print("the logits   ", tuple(writer(seen, ids.to(device())).shape))

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Beside it: the prefix form
# There is a second way. Put the picture's vectors **in front of** the words and let one stack of self-attention read it all. No cross-attention is needed; the mask does the work: picture places see one another, words see the picture and the words before them. GIT (Wang and others 2022) is built so. LLaVA (lesson 35) puts the picture in front, too, but keeps the causal mask for it.

# %% slideshow={"slide_type": "-"}
class PrefixWriter(Writer):
    def __init__(self, num_layers=2, d_model=128):
        super().__init__(num_layers, d_model)
        self.decoder = Encoder(num_layers, d_model, num_heads=4)

    def forward(self, seen, ids):
        stream, places = torch.cat([seen, self.words(ids)], 1), seen.shape[1]
        mask = prefix_mask(stream.shape[1], places).to(ids.device)
        return self.output(self.decoder(stream, mask)[:, places:])      # the words only


for form in (Writer, PrefixWriter):
    model = form().to(device())
    size = sum(p.numel() for p in model.parameters())
    print(f"{form.__name__:<13} logits {tuple(model(seen, ids.to(device())).shape)}, "
          f"{size:,} parameters")

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), width_ratios=(5, 4, 9))
words, places = ["<start>", "a", "red", "circle"], [f"p{i}" for i in range(5)]
show.matrix(axes[0], np.ones((4, 5)), words, places, "cross-attention: to the picture",
            numbers=False, vmax=2)
show.matrix(axes[1], causal_mask(4), words, words, "self-attention: to the past",
            numbers=False, vmax=2)
show.matrix(axes[2], prefix_mask(9, 5), places + words, places + words,
            "prefix form: one mask does both", numbers=False, vmax=2)
for ax in axes[1:]:
    ax.tick_params(axis="x", rotation=45)
show.figure(fig, alt="Three masks. Cross-attention: every word sees all five picture "
                     "places. Self-attention: a triangle. Prefix form: the picture's "
                     "columns are open to all, the words form a triangle.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Which one? Cross-attention makes the picture's keys and values once a block and keeps the stream short: 20 words stay 20. The prefix form runs every layer over 65 + 20 places, but it needs no new kind of layer, so any language model can become a captioner. This lesson trains the first form, lesson 35 the second.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Teacher forcing
# How does it learn? At each place it reads the **true** words so far and is scored on the next one. The true past is given, whatever the model would have said: **teacher forcing**. With the causal mask all places learn in one pass.
#
# A caption of 3 words: predict the list that the decoder reads, and the list that it should write.

# %% slideshow={"slide_type": "fragment"}
ids, _ = encode(["a red circle", "a star"])
reads, writes = ids[:, :-1], ids[:, 1:]
for row in range(2):
    print("reads ", [WORDS[i] for i in reads[row]])
    print("writes", [WORDS[i] for i in writes[row]])
print(f"undecided among {len(WORDS)} words, the loss is ln K = {np.log(len(WORDS)):.2f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# `<start>` is read and never written; `<end>` is written, or no caption would ever stop. `<pad>` fills up rows of different lengths, and the loss must leave it out. In a shorter row `<end>` is read, too; its target is `<pad>`.

# %% [markdown] slideshow={"slide_type": "notes"}
# The typical wrong answer gives the same list twice. Ask what a model would learn from it: to copy, which is the bug that comes soon. Let somebody say why `<start>` is read and never written, and why `<end>` must be written.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Train it, now
# A thousand pictures of one to three things, four captions of each. A caption names every thing with size, color and shape. The eye stays as it is: its vectors are computed once.

# %% tags=["nbval-ignore-output"]
few = world.Spec(objects=(1, 3))


@torch.no_grad()
def look(scenes):
    """The eye's vectors (B, 65, 128) of the pictures of scenes."""
    return torch.cat([eye(part.to(device())) for part in pictures(scenes).split(100)])


def name_all(scene, count):
    """`count` captions that name every thing."""
    return [text.split(".")[0] for text in world.captions(scene, count, 0, "full")]


scenes = [world.sample(seed, few) for seed in range(1000)]
new = [world.sample(2**31 + i, few) for i in range(200)]
seen, seen_new = look(scenes), look(new)
told = encode([text for scene in scenes for text in name_all(scene, 4)])[0]
told = told.view(1000, 4, -1).to(device())
print("pictures", tuple(seen.shape), "captions", tuple(told.shape))

# %%
def batch(step):
    choose = torch.Generator().manual_seed(step)
    picture = torch.randint(1000, (32,), generator=choose)
    caption = torch.randint(4, (32,), generator=choose)
    return seen[picture], told[picture, caption]


def loss(model, data):
    """Cross-entropy of every word given the picture and the true words before it."""
    seen, ids = data
    logits = model(seen, ids[:, :-1]).float()
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD)


@torch.no_grad()
def write(model, seen, ids=None, longest=24):
    """Greedy: the likeliest word each time, after <start> or after given words."""
    ids = torch.full((len(seen), 1), START, device=seen.device) if ids is None else ids
    for _ in range(longest):
        ids = torch.cat([ids, model(seen, ids)[:, -1:].argmax(-1)], 1)
    return decode(ids)

# %% slideshow={"slide_type": "subslide"} tags=["nbval-ignore-output"]
torch.manual_seed(0)
writer, curve, stages = Writer(), [], []
steps = {"cpu": 35, "gpu": 200}[budget()]
for piece in range(3):
    curve += fit(writer, lambda step: batch(piece * steps + step), loss, steps,
                 muon=0.02, warmup=10)
    said = write(writer, seen_new)
    stages.append(metrics.truthfulness(new, said)["true"])
print("after each piece:", [f"{share:.0%}" for share in stages], "wholly true")
assert stages[-1] > 0.6 and curve[-1] < 0.6

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.1))
axes[0].plot(curve, linewidth=1)
axes[0].axhline(np.log(len(WORDS)), color=show.QUIET, linewidth=1, linestyle=":")
axes[0].set(xlabel="training step", ylabel="loss", title="The loss falls from ln K ...")
axes[0].set_ylim(0, None)
axes[1].plot([(i + 1) * steps for i in range(3)], stages, marker="o")
axes[1].set(xlabel="training step", ylabel="captions wholly true", ylim=(0, 1.02),
            title="... and captions of new pictures become true")
show.figure(fig, alt="Left the loss, falling from the logarithm of the number of words. "
                     "Right the share of captions that are wholly true on new "
                     "pictures, rising from almost none to most.")

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
right = [metrics.truthfulness([scene], [text])["true"] == 1
         for scene, text in zip(new, said)]
order = sorted(range(200), key=lambda i: right[i])              # false ones first
shown = order[:4] + order[-4:]
show.pictures([new[i].image(128) for i in shown],
              [("TRUE: " if right[i] else "FALSE: ") + said[i] for i in shown],
              alt="Eight new pictures with the captions of the young model, first false "
                  "ones, in which one thing has a wrong word, then true ones.",
              title="After seconds of training: what it says about new pictures")

# %% [markdown]
# Look at the false ones. Most are perfect English. Size and color are mostly right; often the **shape** is wrong, or one thing is told twice. A fluent sentence is no sign of a true one.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Break it on purpose: the best loss you ever saw
# Rows have different lengths, so many people add a padding mask. (Our `Writer` needs none: padding comes last, so the causal mask hides it from all real words.) One wrong line, and it **replaces** the causal mask. What will the loss do? And the captions?

# %%
class Leaky(Writer):
    def forward(self, seen, ids):
        x, mask = self.words(ids), (ids != PAD)[:, None, None]    # and the causal mask?
        for block in self.decoder.blocks:
            x = block(x, mask, seen)
        return self.output(self.decoder.norm(x))


torch.manual_seed(0)
leaky = Leaky()
leaked = fit(leaky, batch, loss, len(curve), muon=0.02, warmup=10)

# %% slideshow={"slide_type": "fragment"} tags=["nbval-ignore-output"]
print(f"loss after {len(curve)} steps: leaky {leaked[-1]:.3f}, honest {curve[-1]:.3f}")
counts = {}
for name, model in (("leaky", leaky), ("honest", writer)):
    texts = write(model, seen_new)
    counts[name] = np.mean([metrics.truthfulness([scene], [text])["f1"] > 0.999
                            for scene, text in zip(new, texts)])
    print(f"{name}: {counts[name]:.0%} of the captions are true and complete; for example")
    for text in [text for scene, text in zip(new, texts) if len(scene) == 3][:2]:
        print("    three things:", text)
assert leaked[-1] < 0.5 * curve[-1] and counts["leaky"] < counts["honest"] - 0.1

# %% [markdown] slideshow={"slide_type": "notes"}
# Show the two losses alone and ask who would ship the leaky model. Only then show the captions. Good questions: why does it stop so early? Which test of one minute would have found this before the training? The next slide has it: change a later word, look at earlier places.

# %% [markdown] slideshow={"slide_type": "subslide"}
# The loss is far too good: every place sees the very word that it should write, and copies it. When it writes alone, there is no next word to copy, and it stops early: at once or after the first thing, as luck has it.
#
# **The invariant that catches it:** change a later word; what the model thinks at earlier places must not change. A second sign: in a world with synonyms (*small*, *little*) the loss cannot go to zero.

# %% slideshow={"slide_type": "-"}
ids = encode(["a red circle and a star"])[0].to(device())
other = ids.clone()
other[0, 5] = WORDS.index("the")                            # change the second "a"
for name, model in (("causal", writer), ("leaky", leaky)):
    with torch.no_grad():
        moved = (model(seen[:1], ids) - model(seen[:1], other)).abs().amax(-1)[0] > 1e-4
    print(f"{name:<7} places that change:", moved.nonzero()[:, 0].tolist())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What teacher forcing hides
# In training the past is always true. When the model writes, the past is **its own**. One slip, and it stands in a place where it has never been: **exposure bias** (Bengio and others 2015; Ranzato and others 2016).
#
# First look at the numbers. How often are color and shape words right when the past is true? And how often is the whole caption true?

# %% tags=["nbval-ignore-output"]
exam = encode([name_all(scene, 1)[0] for scene in new])[0].to(device())
with torch.no_grad():
    guess = writer(seen_new, exam[:, :-1]).argmax(-1)
facts = torch.tensor([WORDS.index(word) for word in (*few.colors, *few.shapes)])
asked = torch.isin(exam[:, 1:], facts.to(device()))
word = (guess == exam[:, 1:])[asked].float().mean().item()
alone = asked.sum(1).float().mean().item()
print(f"a color or shape word, given the true past: {word:.1%} right")
print(f"a caption has {alone:.1f} of them: {word:.3f} ** {alone:.1f} = {word ** alone:.0%}")
print(f"captions wholly true when it writes alone: {stages[-1]:.0%}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# A few percent for each word become many percent for each caption. That alone is no bias, only multiplication. Now the bias itself, as an experiment: put words into its mouth. The first thing of the caption is told **truly**, or with a **wrong color**, or together with an **invented** one, or **twice**; then the model goes on alone. Predict: how much worse is what it adds?

# %%
def forced(scene, how):
    """The first thing of a caption: told truly, with a wrong color, and more."""
    first = name_all(scene, 1)[0].replace(" and ", ", ").split(", ")[0]
    colors = {thing.color for thing in scene}
    absent = next(color for color in few.colors if color not in colors)
    if how == "wrong color":
        first = " ".join(absent if word in colors else word for word in first.split())
    more = {"twice": ", " + first, "and an invented one": f", a large {absent} star"}
    return first + more.get(how, "")


def goes_on(scenes, seen, how):
    """Shares: false ones of what it adds; of the other objects, those never told."""
    false = added = missing = others = 0
    for scene, tokens in zip(scenes, seen):
        start = forced(scene, how)
        ids = encode([start])[0][:, :-1].to(device())
        more = write(writer, tokens[None], ids, 14)[0].removeprefix(start)
        looks = [f"{thing.color} {thing.shape}" for thing in scene]
        parts = more.replace(" and ", ", ").split(", ")
        things = [" ".join(part.split()[-2:]) for part in parts]
        things, rest = [thing for thing in things if thing], looks[1:]
        false, added = false + sum(t not in looks for t in things), added + len(things)
        missing, others = missing + sum(t not in things for t in rest), others + len(rest)
    return false / added, missing / others

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
several = [i for i in range(200) if len(new[i]) == 3
           and len({(thing.color, thing.shape) for thing in new[i]}) == 3][:60]
print(f"{len(several)} pictures of three different things")
for how in ("truly", "wrong color", "and an invented one", "twice"):
    false, missing = goes_on([new[i] for i in several], seen_new[several], how)
    print(f"told {how:<20}{false:4.0%} of what it adds is false, "
          f"{missing:.0%} of the rest missing")

# %% [markdown] slideshow={"slide_type": "fragment"}
# A wrong color does little harm: the picture is in view at every word, and the model reads it again. He and others (2021) call this self-recovery. But *what has been told already* stands in the past alone. Tell a thing too many, and things get lost. Part of it is counting: no caption in training had four things, so it stops after the third. The rest is lost bookkeeping.

# %% [markdown] slideshow={"slide_type": "notes"}
# Let the room guess before the four lines. Most expect the wrong color to do the harm. It does little, because the picture is still there to be read. A thing too many does: what has been told stands only in the past. Compare both columns, false and missing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Choosing words: greedy and beams
# The likeliest word at each step need not lead to the likeliest sentence. By hand: the first word is *a* (0.5) or *the* (0.4). After *a* come four nouns with 0.25 each. After *the* comes *star* with 0.9.
#
# Which caption does greedy search write, and what is its probability? Which one is better?
#
# <details><summary>Answer</summary>
#
# Greedy takes *a*, then a noun: 0.5 · 0.25 = 0.125. But *the star* has 0.4 · 0.9 = 0.36.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
tree = {"": {"a": 0.5, "the": 0.4}, "the": {"star": 0.9, "circle": 0.1},
        "a": dict.fromkeys(("star", "circle", "square", "heart"), 0.25)}


def search(beams):
    """Keep the `beams` likeliest beginnings at each of two steps."""
    kept = [("", 1.0)]
    for _ in range(2):
        kept = [(f"{text} {word}".strip(), chance * p) for text, chance in kept
                for word, p in tree[text].items()]
        kept = sorted(kept, key=lambda pair: -pair[1])[:beams]
    return kept[0]


for beams in (1, 2):
    print(f"{beams} beam(s):", search(beams))

# %% [markdown] slideshow={"slide_type": "fragment"}
# **Beam search** keeps the K best beginnings instead of one. Its bias: every further word multiplies by a number below one, so short sentences win. The cure is the **length penalty**: compare $\frac{1}{T^{\alpha}} \sum_t \log p_t$, where T is the length. With α = 0 nothing is done; α = 1 takes the mean over words; a larger α favors long captions.

# %% [markdown] slideshow={"slide_type": "notes"}
# One person plays greedy at the board, another keeps two beginnings. A typical belief is that beams find the best sentence. They only find a better one: ask for a tree in which two beams miss it too (three first words, and the best sentence begins with the third).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A finished captioner
# The same idea, trained longer, on scenes of up to five things and on captions in seven styles. `Captioner` is the eye plus your `Writer`. Its way to say *which* style: the first word. `<start>` asks for a full description; each other style has a first word of its own.

# %% slideshow={"slide_type": "fragment"} tags=["nbval-ignore-output"]
from mmcourse.models.captioning import STARTS

teller = zoo.load("captioner")
five = world.sample(2**31 + 4)
print("greedy:   ", show.wrapped(teller.describe(five.image(64), tries=1), 64))
print("4 beams:  ", show.wrapped(teller.describe(five.image(64), beams=4, tries=1), 64))
for seed in range(2):
    text = teller.describe(five.image(64), temperature=1.0, seed=seed, tries=1)
    print("by chance:", show.wrapped(text, 64))

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## What does each way of choosing cost?
# **Sampling** draws the next word by its probability. The temperature divides the logits first: below 1 it sharpens, above 1 it flattens (lesson 13 has the details). Predict: which ways stay true, which ways vary?

# %% tags=["nbval-ignore-output"]
held = [world.sample(seed) for seed in world.split("validation").seeds[2000:2080]]
images = [scene.image(64) for scene in held]
ways = {"greedy": {}, "temperature 0.5": {"temperature": 0.5},
        "temperature 1": {"temperature": 1.0}, "temperature 1.5": {"temperature": 1.5},
        "the same, top 90%": {"temperature": 1.5, "top_p": 0.9}}
table = {}
for name, choice in ways.items():
    texts = teller.describe(images, **choice, tries=1)
    truth = metrics.truthfulness(held, texts)
    table[name] = truth["true"], truth["f1"], np.mean([len(t.split()) for t in texts])
some, few_told = held[:12], teller.describe(images[:12], tries=1)
truth = metrics.truthfulness(some, few_told)
table["greedy, 12 pictures"] = (truth["true"], truth["f1"],
                                np.mean([len(t.split()) for t in few_told]))
for penalty in (0.0, 1.0, 2.0):
    texts = teller.describe(images[:12], beams=3, length_penalty=penalty, tries=1)
    truth = metrics.truthfulness(some, texts)
    table[f"3 beams, alpha {penalty:g}"] = (truth["true"], truth["f1"],
                                            np.mean([len(t.split()) for t in texts]))

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
print(f"{'':<20}{'wholly true':>12}{'facts (F1)':>12}{'words':>8}")
for name, (true, f1, words) in table.items():
    print(f"{name:<20}{true:>12.0%}{f1:>12.2f}{words:>8.1f}")
assert table["temperature 1.5"][0] < table["greedy"][0]

# %% [markdown] slideshow={"slide_type": "fragment"}
# Truth falls at temperature 1 already, and further at 1.5: a rare word is drawn, and a rare word is mostly a false one. Cutting off the unlikely tail (top 90%, nucleus sampling, Holtzman and others 2020) brings much of it back. Where a caption must be true, take greedy or beams; where you want many wordings, sample with care. (Beams were tried on twelve pictures only; beside them greedy on the same twelve.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The scores that papers print
# ### BLEU by hand
# **BLEU** (Papineni and others 2002) counts **n-grams**, runs of n words. Precision: which share of the caption's n-grams stands in a reference? *Clipped*: none counts more often than one reference has it. BLEU-4 is the geometric mean for n = 1 to 4, times a **brevity penalty** if the caption's c words are fewer than the reference's r: $e^{1-r/c}$.
#
# Reference "a red circle and a star", caption "a star and a circle". Predict the four precisions.
#
# <details><summary>Answer</summary>
#
# 5/5, 2/4 (*a star*, *and a*), 0/3, 0/2. One zero makes the whole product zero.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
def precisions(caption, reference):
    for n in range(1, 5):
        mine, theirs = (metrics.ngrams(text.split(), n) for text in (caption, reference))
        yield (mine & theirs).total(), mine.total()


for caption in ("a star and a circle", "a red circle and a square"):
    shares = list(precisions(caption, "a red circle and a star"))
    score = metrics.bleu([caption], [["a red circle and a star"]])
    print(f"{caption:<26} {shares}  BLEU-4 = {score:.2f}")

# %% [markdown] slideshow={"slide_type": "notes"}
# Forgetting to clip is the typical mistake. Ask for the caption *a a a a a* against the reference *a red circle and a star*: without clipping 5/5, with it 2/5. Then ask which of the two captions below is the better one, and which BLEU takes: the second names a square that is not in the reference.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### ROUGE-L and CIDEr-D
# **ROUGE-L** (Lin 2004): the longest common *subsequence*, words in the same order with gaps allowed; precision and recall of it.
#
# **CIDEr-D** (Vedantam and others 2015): cosine between vectors of n-grams, in which rare ones weigh more: $\log(N / \text{df})$ for an n-gram that stands in the references of df of N pictures. From 0 to 10. An *a* that is everywhere weighs nothing; so does everything, if there is only one picture.

# %% slideshow={"slide_type": "-"}
words = metrics.common("a star and a circle".split(), "a red circle and a star".split())
print("longest common subsequence:", words, "words")
rouge = metrics.rouge_l(["a star and a circle"], [["a red circle and a star"]])
print(f"ROUGE-L: {rouge:.2f}")
three = ["a red circle", "a blue star", "a blue square"]
print(f"CIDEr-D, perfect captions, 3 pictures: "
      f"{metrics.cider_d(three, [[text] for text in three]):.2f}")
print(f"CIDEr-D, perfect caption, 1 picture:   "
      f"{metrics.cider_d(three[:1], [[three[0]]]):.2f}")

# %% [markdown]
# The tests of this course compare all three with pycocoevalcap, the code behind the published tables, on the same strings. Three traps: CIDEr-D does not reach 10 for a perfect caption of fewer than four words, which has no 4-grams; papers print it times 100; and BLEU of a set is **not** the mean of the BLEUs of its captions.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Do these scores know what is true?
# Take 300 scenes. Each gives five references, one *new* true caption in other words, and one false caption: a true one in which a single thing was changed. Score all true captions, then all false ones. Predict: how large is the gap?

# %% slideshow={"slide_type": "-"}
def rivals(seed):
    """A scene with five references, another true caption, and a false one."""
    scene = world.sample(seed, world.Spec(objects=(2, 5)))
    told = list(dict.fromkeys(scene.captions(14, seed)))
    lie = world.negatives(scene, 1, seed)[0].text
    return scene, told[:5], told[-1] if len(told) > 5 else told[0], lie


scenes, sets, honest, lies = zip(*map(rivals, range(2**31, 2**31 + 300)))
right = [world.satisfies(s, a) and not world.satisfies(s, b)
         for s, a, b in zip(scenes, honest, lies)]
print("true captions true and false ones false:", all(right))

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
rows = {"BLEU-4": [metrics.bleu(said, sets) for said in (honest, lies)],
        "ROUGE-L": [metrics.rouge_l(said, sets) for said in (honest, lies)],
        "CIDEr-D / 10": [metrics.cider_d(said, sets) / 10 for said in (honest, lies)],
        "facts that are true": [np.mean([metrics.tuple_scores(s, text)[0]
                                         for s, text in zip(scenes, said)])
                                for said in (honest, lies)],
        "wholly true": [1.0, 0.0]}
fig, ax = plt.subplots(figsize=(7.6, 3.2))
for row, (name, (high, low)) in enumerate(rows.items()):
    ax.plot([low, high], [row, row], color=show.QUIET, linewidth=2, zorder=1)
    ax.plot(high, row, "o", color=show.CYCLE[2], markersize=10)
    ax.plot(low, row, "X", color=show.CYCLE[1], markersize=10)
ax.set(yticks=range(5), yticklabels=rows, xlim=(-0.05, 1.1), xlabel="score",
       title="300 true captions (o) and 300 false ones (x): who sees a difference?")
ax.invert_yaxis()
show.figure(fig, alt="For each score the value of the true and of the false captions. "
                     "BLEU, ROUGE and CIDEr give the false ones more. The share of "
                     "true facts and wholly true tell them apart.")
assert all(rows[name][1] > rows[name][0] for name in list(rows)[:3])

# %% [markdown] slideshow={"slide_type": "fragment"}
# All three give the **false** captions more. Scores that count words hardly see one wrong word in a familiar sentence, and they punish a true sentence in new words. We chose the pairs to show this; between systems that all write alike the scores say more. They were made to compare *systems* on thousands of pictures, not to say whether a sentence is true.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Judge the facts
# **SPICE** (Anderson and others 2016) turns sentences into facts and compares facts: (thing 1, red), (thing 1, circle), (thing 1, left of, thing 2). On photographs a parser of English has to guess. Ours does not: precision, recall and F1 of facts are **exact** here. (Recall asks for size, color and shape of each thing, not for relations.)
#
# **CHAIR** (Rohrbach and others 2018) asks one thing: does the caption name a kind of object that is not there? That is a **hallucination**. Ours is stricter: a *blue* circle is invented if the circle is red.

# %% slideshow={"slide_type": "-"}
for caption in (one, two, "a large red circle", "a large red circle and a small star"):
    precision, recall, f1 = metrics.tuple_scores(pair, caption)
    invented = [" ".join(sorted(words)) for words in metrics.hallucinated(pair, caption)]
    print(f"{caption} (true: {world.satisfies(pair, caption)})")
    print(f"    precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}, "
          f"invented: {invented}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Read the third: everything in it is true, and half of the scene is missing. Precision asks *is it true?*, recall *is it all?* A model that says "a thing" is always right. You need both numbers.

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask for a caption with perfect precision and little recall (*a thing*), and for one with full recall that is false (all there is, and one thing more). Which of the two would you rather have read to you if you could not see the picture? There is no right answer; it depends on the use.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The finished captioner, judged
# Your model of today and the shipped one, on new pictures. For BLEU and its kin, five references of the same style.

# %% tags=["nbval-ignore-output"]
def report(scenes, texts, styles):
    sets = [styles(scene) for scene in scenes]
    truth = metrics.truthfulness(scenes, texts)
    return [100 * metrics.bleu(texts, sets), 100 * metrics.cider_d(texts, sets),
            100 * truth["f1"], 100 * truth["true"], 100 * truth["hallucinating"]]


said = write(writer, seen_new)
told_by = teller.describe(images, tries=1)
results = {"yours, 1 to 3 things": report(new, said, lambda s: name_all(s, 5)),
           "shipped, 1 to 5 things": report(held, told_by,
                                            lambda s: world.captions(s, 5, 1, "full"))}

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
print(f"{'':<26}{'BLEU-4':>8}{'CIDEr':>8}{'facts':>8}{'true':>8}{'invents':>9}")
for name, row in results.items():
    print(f"{name:<26}" + "".join(f"{value:8.1f}" for value in row))
print(f"{'BLIP on COCO (published)':<26}{39.9:8.1f}{133.5:8.1f}{23.7:8.1f}{'?':>8}{'?':>8}")
assert results["shipped, 1 to 5 things"][3] > 50

# %% [markdown] slideshow={"slide_type": "fragment"}
# The last line is as printed on the benchmark page of LAVIS, BLIP's own toolkit (Li and others 2022): BLEU-4, CIDEr and SPICE, all times 100, on photographs with references by people. Same units, **another world**: do not compare the numbers, compare the columns. The published row has no column for truth: for photographs nobody can compute it.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Which of its sentences are true?
# A full caption has two sentences. The first lists all things, the second tells one relation. Predict: which one is harder? Think of what each needs to know.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
for place, name in enumerate(("the list of things", "the relation")):
    parts = [(scene, text.split(". ")[place]) for scene, text in zip(held, told_by)
             if text.count(". ") >= place]
    share = metrics.truthfulness(*zip(*parts))["true"]
    print(f"{name:<20}{share:.0%} true ({len(parts)} captions)")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The two are close. The relation compares two things that it saw well; the list must find them all. Lesson 34 asks again, when models draw.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Say it, look again
# Writing is hard, checking is easier. The eye also reports a list of things (lesson 14), and a sentence can be held against that list. If it does not fit, `describe` draws another one, up to eight in all: no oracle, only its own eye. Predict: how much does it help, and where can it not help?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
for tries in (1, 2, 8):
    truth = metrics.truthfulness(held, teller.describe(images, tries=tries))
    print(f"up to {tries} tries: {truth['true']:.1%} wholly true, facts {truth['f1']:.3f}")
assert truth["true"] > 0.95

# %% [markdown] slideshow={"slide_type": "fragment"}
# A second look cannot mend what the eye itself gets wrong, and it costs time where the first sentence was false. By default `describe` takes up to eight tries; this lesson says `tries=1` where it studies the writer alone.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Its failures
# First those in its own world, then pictures unlike those it learned from: six things, gray paper, striped things. The words show no doubt. But `familiar` draws anew what the eye has seen and compares: too different, and `describe` gives a warning. Predict: which of the three does it notice?

# %% tags=["hide-input"]
import warnings
from dataclasses import replace

warnings.simplefilter("ignore", UserWarning)             # we count them ourselves
standard = world.SPECS["standard"]
worlds = {"as in training": {}, "six things": {"objects": (6, 6)},
          "gray paper": {"background": "gray"}, "striped": {"textures": ("striped",)}}


def abroad(changes, count=50):
    spec = replace(standard, **changes)
    scenes = [world.sample(2**31 + 50 + i, spec) for i in range(count)]
    return scenes, teller.describe([scene.image(64) for scene in scenes], tries=1)

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
found = {name: abroad(changes) for name, changes in worlds.items()}
wrong = [(name, scene, text) for name, pairs in found.items()
         for scene, text in [both for both in zip(*pairs)
                             if metrics.truthfulness(*[[x] for x in both])["true"] < 1][:2]]
wrong = [(name, scene, next((part for part in text.split(". ")     # the false sentence alone
                             if metrics.truthfulness([scene], [part])["true"] < 1), text))
         for name, scene, text in wrong]
for name, pairs in found.items():
    known = teller.familiar(pictures(pairs[0]).to(device())).float().mean()
    print(f"{name:<16}{metrics.truthfulness(*pairs)['true']:.0%} wholly true, "
          f"{1 - known:.0%} noticed as foreign")
captions = [f"{name}: {text}" for name, _, text in wrong]
show.pictures([scene.image(128) for _, scene, _ in wrong],
              captions, columns=4, side=2.3,
              alt="Pictures that the shipped model describes wrongly, with the false "
                  "sentence of its caption.",
              title="False sentences, in its own world and abroad")

# %% [markdown] slideshow={"slide_type": "-"}
# It notices all gray paper, fewer than half of the striped things, and never six things: drawn anew, these look nearly the same. A warning that stays silent proves nothing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look inside: where does it look at each word?
# Cross-attention has one weight for each patch, at each word. Here is its light on the picture while the model writes, mean over layers and heads (Xu and others 2015 drew the first such maps).

# %% include="mmcourse/models/captioning.py::Captioner.attention" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
def maps_of(scene, text, style="full"):
    """The words of a caption and the map (8, 8) at each."""
    ids = encode([text])[0]
    ids[:, 0] = STARTS[style]
    maps = teller.attention(pictures([scene]).to(device()), ids[:, :-1].to(device()))[0]
    return [WORDS[i] for i in ids[0, 1:].tolist()], maps.cpu()


scene = next(s for s in held if len(s) == 3 and len({t.color for t in s}) == 3)
text = teller.describe(scene.image(64)).split(".")[0]
words, maps = maps_of(scene, text)
fig, axes = plt.subplots(2, 7, figsize=(10.4, 3.6))
for ax in axes.flat:
    ax.axis("off")
for ax, word, weights in zip(axes.flat, words, maps):
    show.look(ax, scene.image(128), weights, word)
fig.suptitle(show.wrapped(text, 100), x=0.01, ha="left", fontsize=11)
show.figure(fig, alt="One picture for each word of a caption, with the model's attention "
                     "as light. At color and shape words the light lies on the thing "
                     "that is being named.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# A picture of one case proves little. So measure: when it writes a color, which share of its light lies on the thing of that color? Compare with the share of the paper that the thing covers.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
from mmcourse.recipes.vision import cover

light, area = [], []
clear = [s for s in held if len({thing.color for thing in s}) == len(s)][:30]
for scene, text in zip(clear, teller.describe([s.image(64) for s in clear])):
    words, maps = maps_of(scene, text.split(".")[0])
    for thing in scene:
        if thing.color in words:
            on = torch.from_numpy(cover(thing.box, 8) > 0)
            weights = maps[words.index(thing.color)]
            light.append((weights[on].sum() / weights.sum()).item())
            area.append(on.float().mean().item())
print(f"{np.mean(light):.0%} of the light lies on the thing, which covers "
      f"{np.mean(area):.0%} of the paper ({len(light)} color words)")
assert np.mean(light) > 1.3 * np.mean(area)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Optional: learn from the truth itself
# Teacher forcing teaches *these words*. We want *true and complete*. Let the model write twice, once greedily and once by chance, and let the oracle score both. If the chance caption is better, make it likelier; if worse, less likely: **self-critical training** (Rennie and others 2017), a form of REINFORCE. The greedy caption is the yardstick: no second network is needed.
#
# $$\text{loss} = -\,(r_{\text{chance}} - r_{\text{greedy}}) \sum_t \log p(w_t)$$

# %% [markdown] slideshow={"slide_type": "fragment"}
# What is the reward? Here: 0 for a caption that is false anywhere; else the share of the facts that it tells (its recall). The code stands in `mmcourse/recipes/captioner.py`; it is the formula, with your `generate` and your oracle.

# %%
import copy

from mmcourse.recipes.captioner import reward, self_critical

for caption in ("a large red circle and a small blue square", "a circle", one):
    print(f"{caption:<48} reward {reward(pair, caption):.2f}")
pupil = copy.deepcopy(writer)
pupil.see = lambda seen: seen                             # the eye has looked already
pupil.decode = lambda ids, seen: pupil(seen, ids)
young = [world.sample(seed, few) for seed in range(1000)]


def turn(step):
    choose = torch.randint(1000, (32,), generator=torch.Generator().manual_seed(step))
    return seen[choose], [young[i] for i in choose.tolist()]

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
def judged(model):
    return metrics.truthfulness(new, write(model, seen_new))


torch.manual_seed(0)
tries = {"cpu": 14, "gpu": 200}[budget()]
fit(pupil, turn, self_critical, tries, lr=2e-4, warmup=2)
for name, model in (("teacher forcing", writer), ("and then self-critical", pupil)):
    truth = judged(model)
    known = [pair for pair in zip(new, write(model, seen_new))
             if metrics.truthfulness(*[[x] for x in pair])["unread"] == 0]
    recall = np.mean([metrics.tuple_scores(*pair)[1] for pair in known])
    print(f"{name:<24}{truth['true']:.1%} wholly true, facts told (recall) {recall:.3f}")
assert judged(pupil)["true"] > judged(writer)["true"] - 0.05

# %% [markdown] slideshow={"slide_type": "fragment"}
# In so few steps truth may rise or fall by some percent: try another seed. Now look at the recall. A false caption earns nothing, so leaving a thing out is the safe way to more reward, and the model takes it: **you get what you reward**. With BLEU or CIDEr as the reward, which published systems used, it learns to please *them*; you saw what they like. The shipped model was judged by all columns.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Say how much to say
# A caption may be short or long and still be true. Who decides? In the shipped model the **first word** does: it was taught seven styles, each with a start of its own. Nothing else in the model knows about styles.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
for style in world.STYLES:
    text = teller.describe(five.image(64), style=style, tries=1)
    print(f"{style:<10}{show.wrapped(text, 64)}")

# %% slideshow={"slide_type": "subslide"} tags=["nbval-ignore-output"]
several = [scene for scene in held if len(scene) > 1]     # one thing alone has no relation
print(f"{'style':<10}{'words':>6}{'true':>8}{'facts told (recall)':>22}")
for style in ("object", "list", "relation", "full"):
    texts = teller.describe([scene.image(64) for scene in several], style=style, tries=1)
    words = np.mean([len(text.split()) for text in texts])
    known = [pair for pair in zip(several, texts)
             if metrics.truthfulness(*[[x] for x in pair])["unread"] == 0]
    recall = np.mean([metrics.tuple_scores(*pair)[1] for pair in known])
    true = metrics.truthfulness(several, texts)["true"]
    print(f"{style:<10}{words:6.1f}{true:8.0%}{recall:22.0%}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Longer captions tell more and have more places to be wrong. Pictures of one thing were left out: there a relation has nothing to say, and a model that must write one has to lie. An honest comparison gives **both** columns, truth and detail: a model can always buy one with the other.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same as the library
# `VisionEncoderDecoderModel` of transformers joins any eye and any writer: here a ViT and a GPT-2 with cross-attention. Your blocks have the same parts in the same order (norm, self-attention, norm, cross-attention, norm, feed-forward), so the weights can be copied, and `generate` writes the same captions.

# %% slideshow={"slide_type": "-"}
from mmcourse.models.captioning import to_transformers

theirs = to_transformers(teller.cpu())
paper, ids = pictures(held[:8]), encode(["a red circle and a star"] * 8)[0]
with torch.no_grad():
    ours = teller(paper, ids)
    gap = (theirs(pixel_values=paper, decoder_input_ids=ids).logits[..., :len(WORDS)]
           - ours).abs().max() / ours.abs().max()
print("logits less than 1e-5 apart, relative to the largest:", gap.item() < 1e-5)
written = decode(theirs.generate(pixel_values=paper))
print("the same captions:", written == teller.describe(images[:8], tries=1))
teller = teller.to(device())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: catch it lying
# Choose a scene, a style, a temperature, and a word. Words in bold orange brackets are false, by the oracle; the title judges the whole caption (a wrong number, a wrong *no* or a thing told twice is false as a whole). Below, the light shows where the model looks when it writes the chosen word. Raise the temperature until it lies: does it still look at the right thing?

# %% tags=["hide-input"]
import re

SAME = {"little": "small", "big": "large"}


def verdicts(scene, caption):
    """(word, is it false?) of a caption. In a list each word of a thing is judged by the
    object that fits it best; a sentence about a relation is judged as a whole."""
    looks, words = [{t.size, t.color, t.shape} for t in scene], []
    known = {word for part in ("sizes", "colors", "shapes")
             for word in getattr(world.SPECS["rich"], part)}
    for part in re.split(r"(?<=\.) ", caption):
        try:
            lie = not world.satisfies(scene, part)
        except ValueError:
            lie = True                                      # no sentence of this world
        listed = not any(way in part for way in (" of ", "above", "over", "below", "under"))
        for thing in re.split(r"(?<=,) | (?=and )", part):
            said = [SAME.get(w, w).strip(",.").removesuffix("s") for w in thing.split()]
            best = max(looks, key=lambda look: len(look & set(said)))
            for raw, word in zip(thing.split(), said):
                false = word in known and word not in best if listed else lie
                words.append((raw, lie and false))
    return words

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def explore(scene=4, style="full", temperature=0.0, word=2):
    """A caption, its false words marked, and where the model looks at one word."""
    shown = world.sample(2**31 + scene)
    text = teller.describe(shown.image(64), style, temperature=temperature, seed=scene, tries=1)
    names, maps = maps_of(shown, text, style)
    word = min(word, len(names) - 2)
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), width_ratios=(1, 1, 1.5))
    show.panel(axes[0], shown.image(256), "the scene")
    show.look(axes[1], shown.image(256), maps[word], f"word {word + 1}: {names[word]!r}")
    axes[2].axis("off")
    x, y, lies = 0, 0.95, 0
    for raw, false in verdicts(shown, text):
        raw = f"[{raw}]" if false else raw
        x, y = (0, y - 0.11) if x + len(raw) > 42 else (x, y)
        axes[2].text(x / 42, y, raw, family="monospace", fontsize=11, va="top",
                     weight="bold" if false else "normal",
                     color=show.CYCLE[1] if false else show.INK)
        x, lies = x + len(raw) + 1, lies + false
    axes[2].set_title("all true" if metrics.truthfulness([shown], [text])["true"] == 1 else
                      f"{lies} word(s) in false claims" if lies else "false as a whole")
    return fig, f"Scene {scene}: {text} {lies} words are marked as false."


widgets.explorer(explore, scene=(0, 40, 1), style=list(world.STYLES),
                 temperature=(0.0, 2.0, 0.25), word=(0, 30, 1))

# %% [markdown] slideshow={"slide_type": "notes"}
# Live: scene 4, style full. Move the word slider along the caption: the light jumps from thing to thing. Then temperature 1.5 and several scenes. A good question for the room: when it says a wrong color, is it blind or careless? The map says where it looked, not what it thought.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - A captioner is an eye and a writer: cross-attention to the picture's vectors, or these vectors in front of the words.
# - Teacher forcing trains on a true past. A wrong word mostly heals, wrong bookkeeping does not.
# - A padding mask must join the causal mask, never replace it. A loss that is too good is a bug.
# - BLEU, ROUGE-L and CIDEr-D count words; they like a familiar lie better than a new truth.
# - Judge facts: precision (is it true?), recall (is it all?), hallucinations.

# %% [markdown] template="words"

# %% [markdown]
# ## Exercises
# Six of them, about 100 minutes: `exercises/32_captioning.ipynb`, which `mmcourse lab` copies to `my_work/`. You will build BLEU's clipped precision and a step of beam search, hunt the bugs behind a loss that is too good and behind the same caption for every picture, and write a metric that prefers the truth.

# %% [markdown]
# ## Sources
# - O. Vinyals and others (2015), *Show and tell*; K. Xu and others (2015), *Show, attend and tell*: captioners, attention maps.
# - J. Wang and others (2022), *GIT: a generative image-to-text transformer*: the prefix form. J. Li and others (2022), *BLIP*.
# - S. Bengio and others (2015), *Scheduled sampling*; M. Ranzato and others (2016), *Sequence level training*: exposure bias. T. He and others (2021), *Exposure bias versus self-recovery*.

# %% [markdown]
# And on choosing words and judging captions:
#
# - A. Holtzman and others (2020), *The curious case of neural text degeneration*: nucleus sampling.
# - S. Rennie and others (2017), *Self-critical sequence training for image captioning*.
# - K. Papineni and others (2002), *BLEU*; C.-Y. Lin (2004), *ROUGE*; R. Vedantam and others (2015), *CIDEr*.
# - P. Anderson and others (2016), *SPICE*; A. Rohrbach and others (2018), *Object hallucination in image captioning*: CHAIR.
