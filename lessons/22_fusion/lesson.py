# ---
# title: Fusion, measured
# question: A picture and a sentence both know a part of the answer. Where should they meet?
# minutes: 80
# level: intermediate
# objectives:
#   - name the ways in which two modalities can be joined, each a few lines of code
#   - prove that late fusion cannot solve XOR
#   - measure fusions fairly, with equal size, equal budget and three starts
#   - train a model that survives the loss of a modality
#   - find a fusion that does not fuse
# prerequisites: [11, 12, 14]
# device: Two CPU cores are enough.
# words:
#   fusion: 融合
#   modality: 模态
#   redundancy: 冗余
#   synergy: 协同
#   early fusion: 早期融合
#   late fusion: 晚期融合
#   cross-attention: 交叉注意力
#   modality dropout: 模态丢弃
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Two witnesses
# A picture shows one thing. A sentence names one thing. The question: **do they agree on its size?** (Colors and shapes may differ.) Each alone is useless: the picture does not know what was said, and the sentence does not know what was drawn. Only both together hold the answer.
#
# The plainest idea: train one model on each and average what they say. Let us watch it fail.

# %%
import json
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import ladder, root, show, widgets, world
from mmcourse.models.fusion import EVERY, FUSIONS, parameters, sized
from mmcourse.training import fit

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
pairs = world.three_dials(4, seed=0, synergy=1)                  # label 1: "no", the sizes differ
show.pictures([pair.scene.image(128) for pair in pairs],
              [f'"{pair.sentence}": {"no" if pair.label else "yes"}' for pair in pairs],
              alt="Four pictures of one thing each, with a sentence below and the answer:"
                  " yes where the size in the sentence is the size in the picture.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# The pictures come as 4 tokens from lesson 14's frozen encoder (the means of the four quarters), the sentences as one fixed vector a word. So all that is learned is the **fusion**. Train the average of two answers on 4,800 pairs:

# %% tags=["nbval-ignore-output"]
album = ladder.Album(300, 7)
shown, words, labels = album.pairs(4800, 7, (0, 0, 1))               # synergy alone
tokens, spoken = album.tokens[shown], ladder.word_tokens(words)


def batch(step):
    pick = torch.arange(step * 32, step * 32 + 32) % len(labels)
    return tokens[pick], spoken[pick], labels[pick]


def learn(name, steps=150):
    torch.manual_seed(0)
    model = sized(EVERY[name], 12_000)
    return fit(model, batch, lambda m, d: F.cross_entropy(m(d[0], d[1]), d[2]), steps)


curves = {name: learn(name) for name in ("late: average", "early: concat")}

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.6, 3.1))
for name, losses in curves.items():
    ax.plot(np.convolve(losses, np.ones(10) / 10, "valid"), label=name)
ax.axhline(np.log(2), color=show.QUIET, linestyle=":")
ax.text(2, np.log(2) + 0.02, "ln 2: a coin", color=show.QUIET)
ax.legend(loc="center right")
ax.set(xlabel="training step", ylabel="loss", ylim=(0, 0.85),
       title="The average of two answers learns nothing")
show.figure(fig, alt="Two loss curves. The average of two answers stays at 0.69, the "
                     "loss of a coin; features side by side fall to zero.")
assert np.mean(curves["late: average"][-30:]) > 0.66
assert np.mean(curves["early: concat"][-30:]) < 0.35

# %% [markdown] slideshow={"slide_type": "notes"}
# Play it: one half of the room sees only the picture, the other half hears only the sentence. Each half votes yes or no and you average the votes: a coin. Then let them talk for ten seconds and vote again. Talking before voting is early fusion.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## By hand: four cells
# Write the picture's size as $a = \pm 1$ and the sentence's as $b = \pm 1$. The label is *yes* if $ab = 1$: the **XOR** problem (exclusive or). Late fusion says yes if $f(a) + g(b) > 0$. Choose four numbers f(1), f(−1), g(1), g(−1). How many of the four cells can you get right?
#
# <details><summary>Answer</summary>
#
# Three. For all four you need f(1) + g(1) > 0 and f(−1) + g(−1) > 0, but f(1) + g(−1) < 0 and f(−1) + g(1) < 0. Both pairs have the same sum.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
best = 0
for f1, f0, g1, g0 in np.random.default_rng(0).normal(size=(10000, 4)):
    answers = [f1 + g1 > 0, f1 + g0 > 0, f0 + g1 > 0, f0 + g0 > 0]
    best = max(best, sum(np.equal(answers, [True, False, False, True])))
print("best of 10,000 tries:", best, "of 4 cells")

# %% [markdown] slideshow={"slide_type": "notes"}
# Let groups choose four numbers on paper. Somebody will claim all four cells: add up at the board. A typical try is 1 for *large* and −1 for *small* in both. The sums are 2, 0, 0 and −2, so the last cell is wrong, and every repair of it breaks another.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The proof in five lines
# Let $z_{ab} = f(a) + g(b)$ be the logit and $y_{ab} = ab$ the label.
#
# 1. The signed sum is zero: $\sum y\,z = f(1)(1-1) + f(-1)(1-1) + \dots = 0$.
# 2. The loss of a cell is $\ell(yz) = \ln(1 + e^{-yz})$, and $\ell$ is convex.
# 3. So the mean loss is at least the loss of the mean (Jensen): $\ge \ell(0)$.
# 4. $\ell(0) = \ln 2 = 0.693$, reached by $z = 0$: say nothing.
# 5. At most three cells are right: if all $yz > 0$, their sum would not be zero. $\square$

# %% [markdown] slideshow={"slide_type": "notes"}
# Line 1 is the whole proof: every f and every g appears once with plus and once with minus. Let somebody do it at the board. Note that line 5 speaks of accuracy (75%) and line 3 of loss: training follows the loss, and so ends at 50%.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three kinds of knowledge
# Not every task is XOR. Williams and Beer (2010) split what two sources know:
#
# - **redundancy**: both know it (the shape);
# - **unique**: one alone knows it (the color, in the picture);
# - **synergy**: only both together know it (do the sizes agree?).
#
# In our world the label is a hidden coin, 1 or 0. Three **signs** point to it: the shape, the color, and whether the two sizes differ. Each has a **dial** from 0 to 1: a dial d makes its sign right with chance (1 + d)/2, at 0 a coin. So the best possible accuracy is known exactly.

# %% slideshow={"slide_type": "-"}
print("redundancy unique synergy   best from picture  sentence   both")
for dials in ladder.GRID[:3] + ladder.GRID[-1:]:
    best = world.three_dials_best(*dials)
    print("{:8} {:8} {:7}".format(*dials),
          "".join(f"{best[name]:14.1%}" for name in ("picture", "sentence", "both")))

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask for examples from life. Redundancy: subtitles and speech. Unique: a photograph with *my new car* below it, and you ask for the color. Synergy: irony, kind words in an unkind voice. Then ask where 84.4% comes from: three signs, each right in 3 of 4 cases, and the majority wins: 27/64 + 27/64.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One call for all fusions
# Every fusion takes the tokens of both, a mask for padding, and says which modality is `present`. What is absent is replaced by one learned vector. So they can be exchanged like light bulbs. (`PAIR` is 128; `Pool` is a mean of the tokens whose weights are learned; `head` is two layers. The cells copy the package's code; the race uses the package.)

# %% include="mmcourse/models/fusion.py::Fusion" slideshow={"slide_type": "-"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Late: two answers, one vote
# Each modality answers by itself. Their logits are averaged. What is absent has no vote. (With a **gate**, each modality also says how much its answer should count. It still cannot see the other.)

# %% include="mmcourse/models/fusion.py::LateAverage" slideshow={"slide_type": "-"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Early: features are joined, then one answer
# Side by side (**concat**), added (**sum**), or all tokens in one list for a Transformer block (**one stream**, as in VisualBERT, Li and others 2019). Do both, early and late, and it is called **hybrid**. (Others call concat and sum *intermediate*, and only one stream early.)

# %% include="mmcourse/models/fusion.py::Concat" slideshow={"slide_type": "-"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### One changes the other
# **Gated** (Arevalo and others 2017): a gate chooses for each feature where it comes from. **Bilinear** (Kim and others 2017): features are multiplied, each with each; logit k is aᵀ Mₖ b. At **low rank**, Mₖ is made of few products u vᵀ, which saves weights. **FiLM** (Perez and others 2018): the words scale and shift the picture's features, then the picture answers.

# %% include="mmcourse/models/fusion.py::FiLM" slideshow={"slide_type": "-"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Attention between them
# **Cross-attention**: words look at the picture. **Co-attention** (ViLBERT, Lu and others 2019): both ways. **Bottleneck** (Nagrani and others 2021): two tokens carry messages between two Transformers. **Q-Former** (Li and others 2023; reading the words, too: Dai and others 2023): learned queries read the words, then look at the picture.

# %% include="mmcourse/models/fusion.py::CrossAttention" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "subslide"}
print(f"{'fusion':<18}width  parameters")
for name, kind in EVERY.items():
    model = sized(kind, 12_000)
    enter = getattr(model, "enter_a", None) or model.enter
    print(f"{name:<18}{enter.out_features:5} {parameters(model):11,}")
    assert abs(parameters(model) / 12_000 - 1) < 0.1

# %% [markdown] slideshow={"slide_type": "fragment"}
# A fair race needs **equal parameters**: who adds layers must be narrower. All learn from the same pairs, for the same number of steps, and each may choose between two learning rates on validation pairs. The two models of one modality get the same care: a fusion that cannot beat *them* joins nothing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Break it on purpose: weights that never learn
# A library of fusions kept its low-rank factors in a plain Python list (MultiBench, `LowRankTensorFusion`). PyTorch finds parameters only in modules and parameter lists. The model runs; the factors stay as they were born.

# %% slideshow={"slide_type": "-"}
class Factors(nn.Module):
    def __init__(self, registered):
        super().__init__()
        factors = [nn.Parameter(torch.randn(4, 8) * 0.5) for _ in range(2)]
        self.factors = nn.ParameterList(factors) if registered else factors
        self.answer = nn.Linear(4, 2)

    def forward(self, a, b):
        return self.answer((a @ self.factors[0].T) * (b @ self.factors[1].T))


for registered in (False, True):
    count = sum(p.numel() for p in Factors(registered).parameters())
    print(f"registered: {registered!s:<6} the optimizer sees {count} numbers")

# %% [markdown] slideshow={"slide_type": "notes"}
# Show only the code and ask what is wrong with it; few people see it. The model runs, and its loss can fall, because the last layer does learn. The count gives it away: 74 − 10 = 64 numbers are missing, which is 2 · 4 · 8. Let the room name the invariant before you show the list on the next slide.

# %% [markdown] slideshow={"slide_type": "subslide"}
# **The invariants that catch a fusion that does not fuse:**
#
# - count the parameters by hand (lost factors are in no list, so only the count finds them), and demand a gradient for each;
# - change the words: answers must move (else the picture was fused with itself);
# - change one pair: only its answer may move (else the two were joined along the batch).
#
# Below a count by hand for concat, and the others for every fusion of this lesson. In the exercises you hunt such bugs.

# %% slideshow={"slide_type": "-"}
torch.manual_seed(0)
a, b = torch.randn(4, 4, 128), torch.randn(4, 5, 128)
there = torch.eye(2)[[0, 1, 0, 1]] > 0
for name, kind in FUSIONS.items():
    model = kind(16)
    (model(a, b, present=there) + model(a, b)).square().sum().backward()
    assert all(value.grad is not None for value in model.parameters())
    before, moved = model(a, b), a.clone()
    assert not torch.allclose(before, model(a, torch.randn_like(b)), atol=1e-4)
    moved[0] += 1
    assert torch.allclose(before[1:], model(moved, b)[1:], atol=1e-5)
d = 16                # two entries, two absent, two pools; head: norm, linear, linear
by_hand = (2 * (128 * d + d) + 2 * d + 2 * (d + 1)
           + 2 * 2 * d + (2 * d * 2 * d + 2 * d) + (2 * 2 * d + 2))
count = parameters(FUSIONS["early: concat"](d))
print(f"concat, width {d}: {count} parameters, by hand {by_hand}")
assert count == by_hand
print("all", len(FUSIONS), "fusions pass")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The ladder
# 15 models, 11 dial settings, 3 starts: 495 trainings, and then noise, missing modalities and questions. They were run by **one command**, and the results are stored with the package. You can run it too.

# %% slideshow={"slide_type": "-"}
stored = json.loads((root() / "data" / "fusion.json").read_text("utf-8"))
found, grid = stored["results"], [tuple(dials) for dials in stored["grid"]]
print(stored["command"], "| seeds", stored["seeds"], "| torch", stored["versions"]["torch"])
print(stored["date"], "|", found["seconds"], "seconds, one shared core")
accuracy = {name: np.array(part["accuracy"]) for name, part in found["grid"].items()}
assert set(accuracy) == set(EVERY)                                   # each (11, 3)

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
shownd = {"redundancy 1": (1.0, 0.0, 0.0), "unique 1": (0.0, 1.0, 0.0),
          "synergy 1": (0.0, 0.0, 1.0), "all one half": (0.5, 0.5, 0.5)}
table = np.array([[scores[grid.index(dials)].mean() for dials in shownd.values()]
                  for scores in accuracy.values()])
top = [world.three_dials_best(*dials)["both"] for dials in shownd.values()]
fig, ax = plt.subplots(figsize=(8.4, 5.4))
rows = [*accuracy, "best possible"]
show.matrix(ax, np.vstack([table, top]) * 100, rows=rows, columns=list(shownd),
            title="Right on new pairs: mean of three starts (lowest to highest)", vmax=200,
            numbers=False)
settings = [grid.index(dials) for dials in shownd.values()]
for (row, column), value in np.ndenumerate(np.vstack([table, top])):
    runs = [*accuracy.values()][row][settings[column]] if row < len(table) else [value]
    spread = f"  ({min(runs):.0%} to {max(runs):.0%})" if np.ptp(runs) > 0.005 else ""
    ax.text(column, row, f"{value:.1%}{spread}", ha="center", va="center", fontsize=9)
show.figure(fig, alt="A table of fifteen models and four dial settings. Redundancy: all "
                     "at 100%. Unique: all but words alone. Synergy: the baselines and "
                     "the late average near 50%, the late gate above that in one start, "
                     "joint fusions at 100%.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Before you show the table, ask which models will stay near 50% on synergy. People name the two baselines and the late average. Then show the starts below: the same two modern designs, the same data, a shorter warm-up, and some starts stay at a coin. That is why a single run proves little.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### What we expected, and what came
# Redundancy: all fusions tie. The late average on XOR: at chance, loss at ln 2, as proven. With a **gate** the votes are positive, so the signs still add up: three cells at most, which one start found. But its shares change from cell to cell, so the four logits no longer cancel, and its *loss* can fall below ln 2. Joint fusions find XOR in every start. (*Best possible* is the mean over endless pairs; of 1,000 it may differ by a point or two.)

# %% slideshow={"slide_type": "-"}
alike, xor = grid.index((1.0, 0.0, 0.0)), grid.index((0.0, 0.0, 1.0))
joint = [name for name in FUSIONS if not name.startswith("late")]
spread = np.ptp([accuracy[name][alike].mean() for name in FUSIONS])
losses = found["grid"]["late: average"]["loss"][xor]
print(f"redundancy: all fusions within {spread:.1%}")
print(f"late average on XOR: accuracy at most {accuracy['late: average'][xor].max():.1%}, "
      f"loss at least {min(losses):.3f}")
print("late gate on XOR: accuracy", *(f"{x:.1%}" for x in accuracy["late: gate"][xor]),
      "loss", *(f"{x:.2f}" for x in found["grid"]["late: gate"]["loss"][xor]))
least = min(accuracy[name][xor].min() for name in joint)
print(f"joint fusions on XOR: at least {least:.1%} in every start")
assert spread < 0.02 and min(losses) >= 0.69 and least >= 0.98
cells = Counter((pair.scene[0].size, "small" in pair.sentence)
                for pair in world.three_dials(1000, 2**31, synergy=1))
three = 1 - min(cells.values()) / 1000
print(f"the three largest of the four cells hold {three:.1%} of these pairs")
assert accuracy["late: average"][xor].max() <= 0.76
assert accuracy["late: gate"][xor].max() <= three

# %% [markdown] slideshow={"slide_type": "subslide"}
# **What luck does.** XOR begins on a **saddle** (鞍点): no sign of the input says anything alone, so the gradient is near zero until two have met by chance. A learning rate that grows slowly may give a model time to leave. Here are eight starts of two fusions, with a warm-up of 100 steps and of 30. Which rows have a coin in them? (One start in eight more or less is luck: count many before you trust a difference.)

# %% slideshow={"slide_type": "-"}
for name, ways in found["starts"].items():
    for warmup, scores in ways.items():
        print(f"{name:<10} warm-up {warmup:>3}:", *(f"{score:4.0%}" for score in scores))
    assert min(ways["30"]) < 0.9 and min(ways["100"]) >= 0.98

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### The easy part is learned first
# With all dials at one half the best is 84%. Who uses only shape and color reaches 75%, and some stop there. Accuracy above 78% needs all three signs. So in 400 steps a fusion that **can** join may not **learn** to. FiLM finds the synergy in all starts when it is alone; beside two easy signs in none, until it gets several times the steps: the easy signs delay the hard one. *Gradient starvation* (Pezeshki and others 2021) is a related finding.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
half = grid.index((0.5, 0.5, 0.5))
order = sorted(FUSIONS, key=lambda name: accuracy[name][half].mean())
fig, ax = plt.subplots(figsize=(7, 3.9))
for row, name in enumerate(order):
    ax.plot(accuracy[name][half], [row] * 3, "o", color=show.ACCENT, alpha=0.7)
ax.axvline(0.75, color=show.QUIET, linestyle=":")
ax.axvline(0.84375, color=show.QUIET, linestyle=":")
ax.text(0.7505, len(order) - 0.4, "without synergy", fontsize=9, color=show.QUIET)
ax.text(0.843, len(order) - 0.4, "best", fontsize=9, color=show.QUIET, ha="right")
ax.set_yticks(range(len(order)), order)
ax.set(xlim=(0.69, 0.86), ylim=(-0.6, len(order) + 0.3), xlabel="right on new pairs",
       title="All dials at one half: three starts of each fusion")
for name in ("FiLM", "cross-attention"):
    alone = accuracy[name][grid.index((0.0, 0.0, 0.5))]
    print(f"{name}: synergy alone at 1/2, best 75%:", *(f"{x:.1%}" for x in alone))
show.figure(fig, alt="For each fusion three points between 71% and 83%. Some lie near "
                     "75%, what two signs allow, some near the best, 84%, and some "
                     "spread from one to the other.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: move the dials
# Turn the three dials and see which fusion wins. Stored are each dial alone at 1 and all mixtures of 0 and 0.5; other positions take the nearest of these (the title says which).

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
def explore(redundancy=0.5, unique=0.5, synergy=0.5):
    """The ladder at the stored setting nearest to the dials."""
    wanted = np.array([redundancy, unique, synergy])
    dials = min(grid, key=lambda dials: np.abs(wanted - dials).sum())
    scores = {name: values[grid.index(dials)] for name, values in accuracy.items()}
    best = world.three_dials_best(*dials)
    order = sorted(scores, key=lambda name: scores[name].mean())
    fig, ax = plt.subplots(figsize=(7.4, 4.3))
    colors = [show.QUIET if name.startswith("only") else show.ACCENT for name in order]
    ax.barh(order, [scores[name].mean() for name in order], color=colors, alpha=0.6)
    for row, name in enumerate(order):
        ax.plot(scores[name], [row] * 3, ".", color=show.INK)
    for value in set(best.values()):
        names = ", ".join(name for name in best if best[name] == value)
        ax.axvline(value, color=show.CYCLE[1], linestyle=":")
        ax.text(value, len(order) - 0.3, names, ha="right", fontsize=8)
    title = "redundancy {:g}, unique {:g}, synergy {:g}".format(*dials)
    ax.set(xlim=(0.4, 1.02), xlabel="right on new pairs (points: three starts)")
    ax.set_title(title + f": best possible {best['both']:.0%}", pad=16)
    return fig, f"Accuracy of each model at {title}; the first is {order[-1]}."


widgets.explorer(explore, redundancy=(0.0, 1.0, 0.5), unique=(0.0, 1.0, 0.5),
                 synergy=(0.0, 1.0, 0.5))

# %% [markdown] slideshow={"slide_type": "notes"}
# Live: synergy at 1, the others at 0. Who leaves the coin? Then unique alone: why is the model of the words alone at about one half now? Last, all at one half: let the room bet on a winner, and look at the spread of the three points before you pay out.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## When a modality is missing
# The camera fails, or nobody has spoken. At redundancy 0.6, unique 0.8 and synergy 0.8 we take one modality away at test. Each fusion was trained twice: as before, and with **modality dropout**, where a third of the pairs come without picture and a third without words (Neverova and others 2016).

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
tests = found["robustness"]
alone = {"no words": np.mean(tests["only picture"]["noise 0"]["plain"]),
         "no picture": np.mean(tests["only words"]["noise 0"]["plain"])}
fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True)
for ax, (case, reference) in zip(axes, alone.items()):
    for color, way in zip(show.CYCLE, ("plain", "dropout")):
        scores = np.array([tests[name][case][way] for name in FUSIONS])
        ax.plot(scores.mean(1), range(len(FUSIONS)), "o", color=color, label=way)
        ax.hlines(range(len(FUSIONS)), scores.min(1), scores.max(1), color=color, alpha=0.4)
    ax.axvline(reference, color=show.QUIET, linestyle=":")
    ax.set(xlim=(0.38, 0.95), xlabel="right on new pairs", title=case)
axes[0].set_yticks(range(len(FUSIONS)), list(FUSIONS))
axes[0].legend(title="training", loc="lower left")
fig.suptitle("Dotted: the model that knows only the other modality", x=0.01, ha="left")
show.figure(fig, alt="Two panels, without words and without picture. Trained plainly, "
                     "many fusions fall far and spread widely; trained with modality "
                     "dropout all lie on the dotted line of the model for one modality.")
gaps = {case: max(reference - np.mean(tests[name][case]["dropout"]) for name in FUSIONS)
        for case, reference in alone.items()}
print("largest gap with dropout:", {case: f"{gap:.1%}" for case, gap in gaps.items()})
assert max(gaps.values()) < 0.05

# %% [markdown] slideshow={"slide_type": "subslide"}
# Modality dropout is a few lines around the data. Concat with it, for some steps and for four times as many:

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
dials = (0.6, 0.8, 0.8)
shown, words, labels = album.pairs(4800, 8, dials)
tokens, spoken = album.tokens[shown], ladder.word_tokens(words)


def with_losses(step):
    """A third of the pairs lose the picture, a third the words."""
    a, b, answers = batch(step)
    luck = torch.rand(len(answers), generator=torch.Generator().manual_seed(step))
    return a, b, torch.stack([luck > 1 / 3, luck < 2 / 3], 1), answers


def loss(model, data):
    a, b, present, answers = data
    return F.cross_entropy(model(a, b, None, present), answers)

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
strangers = ladder.Album(300, 2**31)
seen, said, answers = strangers.pairs(1000, 2**31, dials)
for steps in (300, 1200):
    torch.manual_seed(0)
    model = sized(EVERY["early: concat"], 12_000)
    fit(model, with_losses, loss, steps)
    model = model.cpu()
    for case, present in {"both": (1, 1), "no words": (1, 0), "no picture": (0, 1)}.items():
        there = torch.tensor([present]).expand(1000, 2) > 0
        with torch.no_grad():
            guess = model(strangers.tokens[seen], ladder.word_tokens(said), None, there).argmax(-1)
        print(f"{steps:5} steps, {case:<11}{(guess == answers).float().mean():.1%} right")

# %% [markdown] slideshow={"slide_type": "subslide"}
# The late fusions need no dropout: what is absent has no vote. Without the picture all others fall, without the words half of them: the color alone carries much here. Their vector for *absent* was never trained. Dropout mends it in **every** fusion. What does it cost when both are there, and when the picture's tokens are noisy?

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
picked = ["late: average", "early: concat", "bilinear", "co-attention", "only words"]
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for ax, way in zip(axes, ("plain", "dropout")):
    for color, name in zip(show.CYCLE, picked):
        line = [np.mean(tests[name][f"noise {noise:g}"][way])
                for noise in stored["noise"]]
        ax.plot(stored["noise"], line, marker="o", color=color, label=name)
    ax.set(title=f"training: {way}", xlabel="noise on picture tokens (spread 1)")
axes[0].set_ylabel("right on new pairs")
axes[1].legend(fontsize=9)
show.figure(fig, alt="Accuracy against noise on the picture for five models, trained "
                     "plainly and with modality dropout. All fusions fall below the "
                     "model that never looks at the picture.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# At noise 0 dropout costs most fusions some points: they fall to about what the picture knows alone, since only a third of their pairs were whole. A longer training wins this back for most joint fusions, but not for the late average: dropout teaches each half to answer alone. With much noise **every** fusion falls below the model that never looks: none has learned to distrust a bad picture. Noise is not absence. A fusion is only as robust as what it met in training.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Questions about pictures
# The same fusions, at 40,000 parameters, on six kinds of question about scenes of several things. The picture is now 16 tokens. 400 steps are a small budget, with the learning rates of the dials; nobody is finished. Who learns fastest, and where does nobody leave the coin?

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
asked = {name: found["vqa"][name] for name in EVERY}
kinds = ["all", *stored["kinds"]]
table = np.array([[np.mean(part["accuracy"][kind]) for kind in kinds]
                  for part in asked.values()])
fig, ax = plt.subplots(figsize=(9.6, 5))
show.matrix(ax, table * 100, rows=list(asked),
            columns=[kind.replace("_", "\n") for kind in kinds],
            title="Right answers in %, mean of three starts", vmax=200, numbers=False)
for (row, column), value in np.ndenumerate(table):
    ax.text(column, row, f"{value * 100:.0f}", ha="center", va="center", fontsize=10)
show.figure(fig, alt="A table of fifteen models and seven columns of questions. Models of"
                     " one modality are low; fusions are far ahead on color and shape, "
                     "and near chance on yes-or-no questions.")
only = max(table[0, 0], table[1, 0])
assert all(np.mean(asked[name]["accuracy"]["all"]) > only for name in joint)

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
rows = sorted(asked, key=lambda name: -asked[name]["milliseconds"])
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), sharey=True)
for row, name in enumerate(rows):
    score = np.array(asked[name]["accuracy"]["all"])
    color = show.QUIET if name.startswith("only") else show.ACCENT
    left.plot(asked[name]["milliseconds"], row, "o", color=color)
    right.plot([score.min(), score.max()], [row, row], color=color)
    right.plot(score.mean(), row, "o", color=color)
left.set_yticks(range(len(rows)), rows)
left.set(xlim=(0, None), xlabel="milliseconds for a step of 32 questions",
         title="Equal parameters are not equal time")
right.set(xlabel="right, all kinds (line: three starts)", title="and time is not accuracy")
for name in ("co-attention", "early: concat", "late: average", "only words"):
    print(f"{name:<14} {np.mean(asked[name]['accuracy']['all']):.1%}")
show.figure(fig, alt="Time of one training step beside accuracy. Fusions of pooled features "
                     "are fast; those with Transformer blocks take several times as long, "
                     "and most fusions end between 55% and 65%.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Published tables beside ours
# **Hateful Memes** (Kiela and others 2020), test accuracy: picture alone 52.0, text alone 59.2, late fusion 59.7, ViLBERT 62.3, VisualBERT 63.2, people 84.7.
#
# **CLEVR** (Johnson and others 2017; Perez and others 2018), all questions: question alone 46.8 (not checked at the source), concat 52.3, attention 76.6 (both as FiLM's paper lists them), FiLM 97.7.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
def all_kinds(name):
    return np.mean(asked[name]["accuracy"]["all"])


def on_xor(name):
    return accuracy[name][xor].mean()


shapes = {
    "late fusion is hardly above text alone (Hateful Memes; ours: XOR)":
        abs(on_xor("late: average") - on_xor("only words")) < 0.03,
    "joint fusion is above late fusion (Hateful Memes; ours: XOR)":
        on_xor("early: one stream") > on_xor("late: average") + 0.02,
    "concat is above the question alone (CLEVR; ours: questions)":
        all_kinds("early: concat") > all_kinds("only words") + 0.02,
    "attention is far above concat (CLEVR; ours: questions)":
        all_kinds("cross-attention") > all_kinds("early: concat") + 0.1,
    "FiLM is far above concat (CLEVR; ours: questions)":
        all_kinds("FiLM") > all_kinds("early: concat") + 0.1,
}
for sentence, same in shapes.items():
    print(f"same shape? {'yes' if same else 'no':<4} {sentence}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# (XOR was chosen, as Hateful Memes was built so that one modality is not enough; on our questions the first line would be *no*.) Where it says *no*: our budget is 400 steps at 40,000 parameters. CLEVR's FiLM trained for hours on 700,000 questions, with four FiLM blocks. Our concat also gets a gift: the frozen encoder was trained on this very world. And the late average is as good as concat here: for many questions the words choose the kind of answer and the picture its value, and that adds up. A ladder measures fusions **at a budget**, never fusions as such. Lesson 31 spends more.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - Late fusion adds up answers and cannot do XOR: at most three cells of four. The loss of an average stays at ln 2; a gate can lower it.
# - Redundant tasks do not care how you fuse; measure one modality alone first.
# - What a fusion *can* represent it need not *learn* within its budget: look at every start.
# - Modality dropout lets any fusion lose a modality, at a price where both are there; it does not protect against noise.
# - Demand a gradient for every parameter, and that answers move when the words do.

# %% [markdown] template="words"

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Exercises and sources
# Six exercises, about 105 minutes, wait in `exercises/22_fusion.ipynb`.
#
# - Williams and Beer (2010), *Nonnegative decomposition of multivariate information*
# - Arevalo and others (2017), *Gated multimodal units*; Kim and others (2017), *Hadamard product for low-rank bilinear pooling*
# - Perez and others (2018), *FiLM*; Lu and others (2019), *ViLBERT*; Li and others (2019), *VisualBERT*
# - Nagrani and others (2021), *Attention bottlenecks*; Li and others (2023), *BLIP-2*; Dai and others (2023), *InstructBLIP*
# - Neverova and others (2016), *ModDrop*; Pezeshki and others (2021), *Gradient starvation*; Johnson and others (2017), *CLEVR*
# - Kiela and others (2020), *The hateful memes challenge*; Liang and others (2021), *MultiBench*
