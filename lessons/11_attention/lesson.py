# ---
# title: Attention
# question: A picture has 64 places and you ask about one thing. How does a model look only there?
# minutes: 80
# level: beginner
# objectives:
#   - compute attention on paper and in three lines of PyTorch
#   - explain the square root in the formula
#   - build every mask a Transformer needs, and prove that it hides
#   - split attention into heads, equal to PyTorch's own
#   - train a model that finds the thing you ask about, and see where it looks
# prerequisites: [1]
# device: Two CPU cores are enough; with a GPU it trains more steps.
# words:
#   attention: 注意力
#   query, key, value: 查询、键、值
#   softmax: 归一化指数函数
#   mask: 掩码
#   causal: 因果的
#   padding: 填充
#   multi-head attention: 多头注意力
#   self-attention, cross-attention: 自注意力、交叉注意力
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One answer needs one place
# You see a picture and hear: *what shape is the red thing?* Your eyes jump to one spot. The rest does not matter, until the next question.
#
# A model sees 64 small cells and has to give one answer. The simplest way to make one vector out of 64 is to take their mean. Let us look at what the mean keeps.

# %%
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import budget, device, show, widgets, world
from mmcourse.training import fit, moved

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
scene = world.sample(seed=54)
image = scene.image(256)
cells = np.asarray(scene.image(64)).reshape(8, 8, 8, 8, 3).mean((1, 3)) / 255  # (8, 8, 3)
mean = np.broadcast_to(cells.mean((0, 1)), (8, 8, 3))
fig, axes = plt.subplots(1, 3, figsize=(9, 3.1))
show.panel(axes[0], image, "the picture")
show.panel(axes[1], cells, "64 cells, one color each")
show.panel(axes[2], mean, "their mean: which thing was red?")
show.figure(fig, alt="Left a picture of shapes, in the middle its 64 cells as colored "
                     "squares, right their mean: one even pale square in which no shape "
                     "can be seen.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask the room before the third panel: which questions could be answered from the mean alone? (Perhaps "is there much red?") Then: the mean is the same for every question. That is the fault we mend today.

# %% [markdown] slideshow={"slide_type": "subslide"}
# The mean is **the same for every question**. What we want is a mean whose weights depend on the question: nearly 1 on the cells that matter, nearly 0 on all others.
#
# That is all attention is: *a weighted mean, with weights computed from a question*. The rest of this lesson is how to get the weights.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## By hand: look something up, softly
# Three things stand on a shelf. Each has a **key**, two numbers that say what it is like: *is it red? is it round?* Each has a **value**, what we want to know about it: here its place on the shelf in centimetres.
#
# You come with a **query**: the same two numbers, saying what you look for.

# %% slideshow={"slide_type": "-"}
things = ["red circle", "red square", "blue circle"]
keys = torch.tensor([[1., 1.],  # red, round
                     [1., 0.],  # red, not round
                     [0., 1.]])  # not red, round
values = torch.tensor([[10.], [20.], [60.]])  # where it stands, in cm
query = torch.tensor([[2., 0.]])  # "something red, I do not care how round"

# %% [markdown] slideshow={"slide_type": "subslide"}
# **How well does a key fit?** Multiply it with the query, number by number, and add up: the dot product. That gives one **score** for each thing.
#
# **How much of each?** The softmax turns scores into weights: take $e^{\text{score}}$ of each, divide by the sum. All are positive and they sum to one.
#
# Predict on paper: the three scores, which thing gets the least weight, and about where on the shelf the answer lies ($e^2 \approx 7.4$).
#
# <details><summary>Answer</summary>
#
# Scores: 2·1 + 0·1 = 2, then 2, then 0. Before dividing: 7.4, 7.4, 1, with sum 15.8. Weights: 0.47, 0.47, 0.06. The answer: 0.47·10 + 0.47·20 + 0.06·60 ≈ 17.9 cm, near the two red things.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
scores = query @ keys.T  # (1, 2) @ (2, 3) -> (1, 3)
weights = scores.softmax(-1)
print("scores ", scores.tolist()[0])
print("weights", [round(w, 2) for w in weights.tolist()[0]])
print(f"answer  {(weights @ values).item():.1f} cm")

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
fig, axes = plt.subplots(2, 3, figsize=(8.4, 3.7), height_ratios=(3, 1))
for i, (name, above, below) in enumerate(zip(things, *axes)):
    color, shape = name.split()
    picture = world.Scene((world.Object(shape, color),)).image(128)
    show.panel(above, picture, f"key {keys[i].int().tolist()}  →  score {scores[0, i]:.0f}")
    below.barh([0], weights[0, i], color=show.ACCENT, height=0.5)
    below.set(xlim=(0, 1), yticks=[], title=f"weight {weights[0, i]:.2f} of {values[i, 0]:.0f} cm")
fig.suptitle("Query [2, 0] meets three keys; the weights mix the values to 17.9 cm", x=0.01, ha="left")
show.figure(fig, alt="Three things with their keys and scores: the red circle and the red square score 2 and get a "
                     "weight of 0.47 each, the blue circle scores 0 and gets 0.06.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Let people compute for two minutes. The point to make: nothing was searched, no `if`, no index. A lookup became arithmetic, so it has a gradient, so it can be learned.

# %% [markdown] slideshow={"slide_type": "subslide"}
# A Python `dict` finds one key exactly or fails. This lookup finds **all keys a little**, the fitting ones more. Because it is only arithmetic, a gradient flows through it: a model can *learn* what to look for.
#
# How sharp is the choice? Multiply the query by a number and see. With a large number all weight goes to the best key; with 0 we are back at the plain mean. (One divided by this number is often called the **temperature**: cold is sharp.)

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
query = torch.tensor([[1., 0.6]])  # rather red, somewhat round
sharpness = [0.0, 0.5, 1.0, 2.0, 5.0, 20.0]
table = torch.cat([(s * query @ keys.T).softmax(-1) for s in sharpness])
fig, ax = plt.subplots(figsize=(6.2, 3.2))
show.matrix(ax, table, rows=[f"times {s:g}" for s in sharpness], columns=things,
            title="The louder the query, the sharper the choice")
show.figure(fig, alt="A table of weights. Times 0: one third each. Times 20: all weight on "
                     "the red circle.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The formula
# Many queries at once are the rows of a matrix $Q$; keys and values are the rows of $K$ and $V$. A query and a key have the same width $d$:
#
# $$\text{Attention}(Q, K, V) = \text{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V$$
#
# | symbol | shape | is |
# |---|---|---|
# | $Q$ | (T, d) | T queries, what is looked for |
# | $K$ | (S, d) | S keys, what there is to find |
# | $V$ | (S, e) | S values, what is read |
# | $QK^\top$ | (T, S) | a score for each pair |
# | result | (T, e) | one mixed value for each query |
#
# The softmax runs along each row: every query shares out a weight of one.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Why divide by the square root?
# Take two vectors of $d$ random numbers, each with mean 0 and variance 1. Their dot product adds up $d$ products, each again with mean 0 and variance 1. Variances of independent numbers add: the score has variance $d$, so its typical size is $\sqrt{d}$.
#
# With $d = 512$ such scores are about ±23. Guess: among 16 keys, what share of the weight does the largest score take, **before any training**?

# %% slideshow={"slide_type": "fragment"}
torch.manual_seed(0)
scores = torch.randn(1000, 512) @ torch.randn(512, 16)  # 1000 queries, 16 keys
for name, scale in (("as they are ", 1.0), ("over sqrt(d)", 512 ** -0.5)):
    scaled = (scores * scale).requires_grad_()
    weights = scaled.softmax(-1)
    top = weights.max(-1).values.mean()
    weights.max(-1).values.sum().backward()  # how does it move when a score moves a little?
    print(f"{name}: typical score {scaled.std():4.1f}, largest weight {top:3.0%}, "
          f"typical gradient {scaled.grad.abs().median():.3f}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# Without the division the choice is made before the first step of training: nearly everything goes to one key that won by luck. And the typical **gradient vanishes**: a softmax that is sure of itself does not move when a score moves a little. Such a query learns very slowly.
#
# After the division the scores have size 1, whatever the width. The softmax starts undecided and can learn.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
widths = [2, 8, 32, 128, 512]
tops = torch.zeros(2, len(widths))  # plain, scaled
for i, d in enumerate(widths):
    scores = torch.randn(2000, d) @ torch.randn(d, 16)
    tops[0, i] = scores.softmax(-1).max(-1).values.mean()
    tops[1, i] = (scores / d ** 0.5).softmax(-1).max(-1).values.mean()
fig, ax = plt.subplots(figsize=(6, 3.2))
for line, label in zip(tops, ("plain dot product", "divided by √d")):
    ax.plot(widths, line, marker="o")
    show.label(ax, widths[-1], line[-1], label)
ax.axhline(1 / 16, color=show.QUIET, linewidth=1, linestyle=":")
ax.set(xscale="log", xticks=widths, xticklabels=widths, ylim=(0, 1.09),
       xlabel="width d of the vectors", ylabel="largest of 16 weights",
       title="Wide vectors decide by luck, unless scaled")
show.figure(fig, alt="Largest of 16 weights against the width. The plain dot product "
                     "climbs from about 0.2 to above 0.9; the scaled one stays low and "
                     "flat, a little above the dotted line at one sixteenth.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The code, first slowly
# Two loops that say what happens: for every query, score every key, then mix the values. Slow, but nothing is hidden. It will be our reference for the short version.

# %% slideshow={"slide_type": "-"}
def attention_slow(query, key, value):
    """query (T, d), key (S, d), value (S, e) -> (T, e)"""
    rows = []
    for q in query:  # one query (d,)
        scores = torch.stack([q @ k for k in key]) / len(q) ** 0.5  # (S,)
        weights = scores.exp() / scores.exp().sum()  # softmax by its definition
        rows.append(sum(w * v for w, v in zip(weights, value)))  # (e,)
    return torch.stack(rows)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The code, as it is used
# Matrix products do both loops: `@` works on the last two axes and repeats over all others (a batch, later the heads). This is the version that the course uses from here on. `softmax` takes the largest score of a row off first: the result is the same, and `exp` cannot overflow. The mask comes in a moment; without one, three lines do the work.

# %% include="mmcourse/models/attention.py::attention" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"}
torch.manual_seed(1)
q, k, v = torch.randn(5, 8), torch.randn(7, 8), torch.randn(7, 3)
out, weights = attention(q, k, v)
print("shapes:", tuple(out.shape), tuple(weights.shape))
print("same as the loops:", torch.allclose(out, attention_slow(q, k, v), atol=1e-6))
print("each query's weights sum to one:", torch.allclose(weights.sum(-1), torch.ones(5)))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Where do queries, keys and values come from?
# Three linear layers make them. The question is: from which sequence?
#
# - **Self-attention:** all three from the same sequence. Words of one sentence look at one another; cells of one picture do.
# - **Cross-attention:** queries from one sequence, keys and values from another. A question looks at a picture. This is how modalities meet, and the reason why a course on multimodal models starts here.

# %% slideshow={"slide_type": "-"}
torch.manual_seed(2)
words, picture = torch.randn(6, 16), torch.randn(64, 16)  # 6 words and 64 cells, width 16
to_query, to_key, to_value = (nn.Linear(16, 16) for _ in range(3))
own, _ = attention(to_query(words), to_key(words), to_value(words))
seen, weights = attention(to_query(words), to_key(picture), to_value(picture))
print("self-attention: ", tuple(own.shape), "each word mixed from 6 words")
print("cross-attention:", tuple(seen.shape), "each word mixed from 64 cells")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Order does not exist
# Shuffle the six words and do self-attention again. Predict: how does the result change?
#
# <details><summary>Answer</summary>
#
# It is the same rows, shuffled the same way. Every word gets the same mixture as before, because a sum does not know the order of its terms. The word for it: self-attention is **permutation equivariant** (置换等变).
#
# </details>

# %% slideshow={"slide_type": "fragment"}
shuffle = torch.tensor([3, 0, 5, 1, 4, 2])
mixed = words[shuffle]
again, _ = attention(to_query(mixed), to_key(mixed), to_value(mixed))
print("same rows, shuffled the same way:", torch.allclose(again, own[shuffle], atol=1e-6))

# %% [markdown] slideshow={"slide_type": "notes"}
# So "dog bites man" and "man bites dog" are the same bag to it. Lesson 12 adds positions to the words. For pictures the same holds: without positions, a cell does not know where it lies.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Masks: who may look where
# Sometimes a query must not see a key. Three reasons:
#
# - **causal**: a model that writes must not see words it has yet to write;
# - **padding**: sentences of a batch have different lengths, the rest of the row is filler;
# - **prefix**: a picture first, whose cells see one another, then text that is causal.
#
# A mask is a table of booleans: rows are queries, columns are keys. In this course **True means may look**, everywhere. Masks join with `&`.

# %% include="mmcourse/models/attention.py::causal_mask+padding_mask+prefix_mask" slideshow={"slide_type": "subslide"}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
padding = padding_mask([4], longest=6)[0, 0]  # one sentence of 4 words in a row of 6
masks = {"causal": causal_mask(6), "padding (4 of 6 are words)": padding.expand(6, 6),
         "causal and padding": causal_mask(6) & padding,
         "prefix (3 cells, 3 words)": prefix_mask(6, 3)}
fig, axes = plt.subplots(1, 4, figsize=(11, 3.1))
for ax, (name, mask) in zip(axes, masks.items()):
    show.matrix(ax, mask.float() * 0.5, title=name, numbers=False)
    ax.set(xlabel="key", ylabel="query")
show.figure(fig, alt="Four tables of six queries by six keys, blue where a query may look: "
                     "causal, the lower triangle; padding, the first four columns; both, "
                     "their overlap; prefix, a full 3 by 3 block, then the lower triangle.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# How does `attention` hide a key? It puts the lowest possible number in place of the score, so that $e^{\text{score}}$ is exactly 0. Setting only the *weight* to zero afterwards would leave a row that does not sum to one.
#
# One row deserves care: a query that may look **nowhere**. With minus infinity everywhere, the softmax divides 0 by 0 and gives NaN, which then spreads through the whole model. Ours gives zeros: that is what the second `masked_fill` is for.

# %% slideshow={"slide_type": "-"}
nowhere = torch.tensor([[True, True, False], [False, False, False]])
naive = torch.zeros(2, 3).masked_fill(~nowhere, -torch.inf).softmax(-1)
out, weights = attention(torch.zeros(2, 4), torch.zeros(3, 4), torch.ones(3, 2), nowhere)
print("naive:", naive.tolist())
print("ours: ", weights.tolist())

# %% [markdown] slideshow={"slide_type": "slide"}
# ### The trap: two conventions in one library
# PyTorch itself has both. `F.scaled_dot_product_attention`: True means **may look**. `nn.MultiheadAttention`: True means **hidden**. Swap them and all shapes fit. With a causal mask the last word may then look nowhere. `nn.MultiheadAttention` answers **NaN**, which is loud; `F.scaled_dot_product_attention` of a recent PyTorch answers zeros, which is not. With a padding mask most rows stay numbers either way, and the mistake is silent.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
torch.manual_seed(3)
layer = nn.MultiheadAttention(embed_dim=8, num_heads=1, batch_first=True)
x, mask = torch.randn(1, 4, 8), causal_mask(4)
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.2))
titles = ("given our mask: it sees the future", "given ~mask: as intended")
for ax, given, title in zip(axes, (mask, ~mask), titles):
    weights = layer(x, x, x, attn_mask=given)[1][0].detach().nan_to_num(0)
    show.matrix(ax, weights, title=title)
    ax.set(xlabel="key", ylabel="query")
axes[0].text(1.5, 3, "NaN: this query may look nowhere", ha="center", va="center",
             backgroundcolor="white", color=show.CYCLE[1])
show.figure(fig, alt="Two tables of attention weights. Given our causal mask, "
                     "nn.MultiheadAttention puts all weight above the diagonal, on the "
                     "future; given the inverted mask, on and below the diagonal.")

# %% [markdown] slideshow={"slide_type": "notes"}
# The last row of the left table is empty: the last word may look nowhere, and nn.MultiheadAttention answers NaN (shown as 0 here). In a real run that NaN is luck: it is loud. With `need_weights=False` recent versions give zeros there, and the mistake is silent.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Break it on purpose
# What does a wrong mask look like from outside? Let a small model guess the next digit in **random** digits. Nothing can be learned there. The **loss** is −ln of the probability that the model gave to the right digit; with one tenth for each it is $\ln 10 = 2.30$, and less is impossible. We train it twice, once with the causal mask and once without. Attention knows no order, so each digit gets a learned vector of its place added (lesson 12).

# %%
class NextDigit(nn.Module):
    def __init__(self, masked):
        super().__init__()
        self.digit, self.place = nn.Embedding(10, 32), nn.Embedding(12, 32)
        self.out = nn.Linear(32, 10)
        self.to_query, self.to_key, self.to_value = (nn.Linear(32, 32) for _ in range(3))
        self.masked = masked

    def forward(self, digits):  # (B, T) -> (B, T, 10)
        x = self.digit(digits) + self.place.weight[:digits.shape[1]]
        mask = causal_mask(digits.shape[1]).to(x.device) if self.masked else None
        mixed, _ = attention(self.to_query(x), self.to_key(x), self.to_value(x), mask)
        return self.out(mixed)

# %%
def next_digits(step):  # fresh random digits at every step
    random = torch.Generator().manual_seed(step)
    return torch.randint(10, (128, 12), generator=random)


def next_loss(model, digits):  # position t guesses digit t + 1
    return F.cross_entropy(model(digits[:, :-1]).flatten(0, 1), digits[:, 1:].flatten())

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
curves = {masked: fit(NextDigit(masked), next_digits, next_loss, steps=400, lr=1e-2)
          for masked in (True, False)}

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6, 3.2))
for masked, losses in curves.items():
    ax.plot(losses)
    show.label(ax, 400, losses[-1], "causal mask" if masked else "no mask: it reads the answer")
ax.axhline(np.log(10), color=show.QUIET, linewidth=1, linestyle=":")
ax.set(xlabel="training step", ylabel="loss (nats)", ylim=(0, 2.8),
       title="A loss below the possible is a leak, not a success")
show.figure(fig, alt="Two loss curves. With the causal mask the loss stays on the dotted "
                     "line at 2.30; without it the loss falls far below what is possible.")
assert np.mean(curves[True][-20:]) > 2.25 and np.mean(curves[False][-20:]) < 1.5

# %% [markdown] slideshow={"slide_type": "subslide"}
# The curve without a mask looks *wonderful*. (It cannot reach 0: the last of the 11 answers is not in its input, which costs 2.30 / 11 = 0.21.) That is what makes this bug expensive: it is found when the model has to write by itself and the future is not there to copy.
#
# **The invariant that catches it** needs no training: change one word, and look which outputs move. None before it may.

# %% slideshow={"slide_type": "-"}
def leaks(model, digits):
    """Does any output depend on a digit that comes after it?"""
    before = model(digits)
    for place in range(1, digits.shape[1]):
        changed = digits.clone()
        changed[:, place] = (changed[:, place] + 1) % 10
        if not torch.allclose(model(changed)[:, :place], before[:, :place], atol=1e-6):
            return True
    return False


for masked in (True, False):
    found = leaks(NextDigit(masked), next_digits(0))
    print("with the mask:" if masked else "without it:   ", "leaks" if found else "tight")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Several heads
# One attention gives each query **one** weighted mean. But *is the left thing the same color as the right one?* needs two places at once, kept apart. A mean of both would mix their colors.
#
# **Multi-head attention** makes queries, keys and values as before, cuts their width D into H slices, lets each slice attend by itself, sets the results side by side, and mixes them with a last linear layer. The multiplications stay those of one wide attention; the weights are now H tables of T × T.

# %% include="mmcourse/models/attention.py::MultiHeadAttention" slideshow={"slide_type": "subslide"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# Follow the shapes through `split`: `(B, T, D)` is viewed as `(B, T, H, D/H)`, then T and H swap places. The order matters. To view it as `(B, H, T, D/H)` directly has the right shape and the wrong content: it cuts along the words.

# %% slideshow={"slide_type": "-"}
x = torch.arange(12).view(1, 3, 4)  # 3 words of width 4, two heads
right = x.unflatten(-1, (2, 2)).transpose(1, 2)  # (1, 2, 3, 2)
wrong = x.view(1, 2, 3, 2)
print("head 0 of the right one:", right[0, 0].tolist(), "<- the first half of each word")
print("head 0 of the wrong one:", wrong[0, 0].tolist(), "<- all of word 0, half of word 1")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same as the library
# A from-scratch part is worth something if it *is* the real thing. We copy our weights into `nn.MultiheadAttention`, give both the same input and mask, and compare.

# %% slideshow={"slide_type": "-"}
torch.manual_seed(4)
ours, theirs = MultiHeadAttention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
with torch.no_grad():
    three = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in three]))   # one tall matrix
    theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in three]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
x, mask = torch.randn(8, 10, 32), causal_mask(10)
a, weights = ours(x, mask=mask)
b, mean_weights = theirs(x, x, x, attn_mask=~mask)  # the other mask, weights averaged
c = F.scaled_dot_product_attention(x, x, x, mask)


def equal(name, one, two):
    print(f"{name:<33} less than 1e-6 apart: {(one - two).abs().max().item() < 1e-6}")


equal("nn.MultiheadAttention, output", a, b)
equal("nn.MultiheadAttention, weights", weights.mean(1), mean_weights)
equal("F.scaled_dot_product_attention", attention(x, x, x, mask)[0], c)

# %% [markdown] slideshow={"slide_type": "notes"}
# The tests of the course do the same over hundreds of random shapes and masks, gradients included.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What it costs
# Every query meets every key: T × T scores. Predict: text twice as long takes how many times as long, and how much more memory for the weights?

# %% slideshow={"slide_type": "fragment"} tags=["hide-input", "nbval-ignore-output"]
import time

lengths, seconds = [128, 256, 512, 1024, 2048], []
for length in lengths:
    q = torch.randn(1, length, 64)
    runs = []
    for _ in range(5):
        start = time.perf_counter()
        attention(q, q, q)
        runs.append(time.perf_counter() - start)
    seconds.append(min(runs))  # the least disturbed of five
power = np.log(seconds[-1] / seconds[1]) / np.log(lengths[-1] / lengths[1])
fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(lengths, np.array(seconds) * 1000, marker="o")
ax.plot(lengths, seconds[-1] * 1000 * (np.array(lengths) / 2048) ** 2, ":", color=show.QUIET)
ax.set(xscale="log", yscale="log", xticks=lengths, xticklabels=lengths, xlabel="length T",
       ylabel="milliseconds", title=f"Time grows like T to the power {power:.1f} (dotted: 2)")
ax.minorticks_off()
show.figure(fig, alt="Time of attention against length, both axes logarithmic: measured "
                     "points near a dotted line of slope two.")
assert seconds[-1] > 32 * seconds[0]  # in step with the length it would be 16 times

# %% [markdown] slideshow={"slide_type": "subslide"}
# Time grows about four times, and so does the table of weights. At T = 2,048 one head's weights hold 4 million numbers (16 MB); a picture of 1,024 × 1,024 pixels, taken pixel by pixel, would need 10¹². This is why pictures are cut into patches (lesson 14).
#
# `F.scaled_dot_product_attention` computes the same result in blocks that are never stored whole (Dao et al. 2022): the time still grows with T², the memory only with T. Our version keeps the weights, because we want to *look* at them.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## On the world: find the thing you ask about
# Now the question of the beginning, for real. The model gets a picture and **one color word**, and must name the **shape** of the thing that has this color. Nobody tells it *where* that thing is.
#
# We take scenes of 2 to 5 things and ask about a color that only one of them has. Every training step sees fresh scenes; the test uses seeds that training never touches.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
standard = world.SPECS["standard"]  # the words of the standard world
colors, shapes = list(standard.colors), list(standard.shapes)


def ask(seed):
    """The scene of this seed and a thing in it whose color is unique, or None without one."""
    scene = world.sample(seed)
    seen = [thing.color for thing in scene]
    alone = [thing for thing in scene if seen.count(thing.color) == 1]
    return (scene, alone[seed % len(alone)]) if alone and len(scene) > 1 else None


scene, thing = ask(54)
show.pictures([scene.image(256)], [f"what shape is the {thing.color} thing? {thing.shape}"],
              alt="A scene of the world with the question under it and its answer.", side=2.4)

# %%
def questions(seed, count):
    """Questions from scene `seed` on: pictures (B, 3, 64, 64), color words (B,), shapes (B,)."""
    asked = []
    while len(asked) < count:
        found = ask(seed)
        seed += 1
        if found:
            asked.append(found)
    pictures = torch.from_numpy(world.draw([scene for scene, _ in asked], size=64))
    pictures = pictures.permute(0, 3, 1, 2) / 127.5 - 1  # uint8 -> float in [-1, 1]
    words = torch.tensor([colors.index(thing.color) for _, thing in asked])
    answers = torch.tensor([shapes.index(thing.shape) for _, thing in asked])
    return pictures, words, answers, asked


def batch(step):
    return questions(seed=step * 200, count=64)  # fresh scenes: 64 use fewer than 200 seeds


test = moved(questions(seed=2**31, count=400), device())  # seeds from 2**31 up are never trained on

# %% [markdown] slideshow={"slide_type": "subslide"}
# **The model.** A few convolutions turn the picture into 8 × 8 cells of 64 numbers; take them as a black box until lesson 14. The color word becomes one query. One attention looks at the cells. A small network names the shape.
#
# For comparison, the same model with the plain **mean** of all cells in place of attention. Both hand the color word to the small network, too: they differ only in how they read the picture.

# %%
class Finder(nn.Module):
    """A word looks at a picture and names a shape: cross-attention with one query."""

    def __init__(self, attend, d_model=64):
        super().__init__()
        self.cells = nn.Sequential(  # (B, 3, 64, 64) -> (B, D, 8, 8)
            nn.Conv2d(3, 48, 8, stride=4, padding=2), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 96, 3, stride=2, padding=1), nn.BatchNorm2d(96), nn.ReLU(),
            nn.Conv2d(96, d_model, 1))
        self.norm, self.word = nn.LayerNorm(d_model), nn.Embedding(len(colors), d_model)
        self.attend = MultiHeadAttention(d_model, num_heads=1) if attend else None
        self.answer = nn.Sequential(nn.Linear(2 * d_model, 64), nn.ReLU(),
                                    nn.Linear(64, len(shapes)))

    def forward(self, pictures, words):
        cells = self.norm(self.cells(pictures).flatten(2).transpose(1, 2))  # (B, 64, D)
        query = self.word(words)[:, None]  # (B, 1, D)
        if self.attend:
            found, weights = self.attend(query, context=cells)  # (B, 1, D), (B, 1, 1, 64)
        else:
            found, weights = cells.mean(1, keepdim=True), None
        return self.answer(torch.cat([found, query], -1))[:, 0], weights

# %% [markdown] slideshow={"slide_type": "fragment"}
# Train both, three times each with other random starts: one run could be luck. Predict before you run: with four shapes a guess is right in 25%. And the mean?

# %% tags=["nbval-ignore-output"]
def answer_loss(model, data):
    pictures, words, answers, _ = data
    return F.cross_entropy(model(pictures, words)[0], answers)


def accuracy(model):
    with torch.no_grad():
        return (model(test[0], test[1])[0].argmax(-1) == test[2]).float().mean().item()


steps = {"cpu": 300, "gpu": 1500}[budget()]
curves, finders = {}, {}
for attend in (False, True):
    for seed in range(3):
        torch.manual_seed(seed)
        finders[attend, seed] = Finder(attend)
        curves[attend, seed] = fit(finders[attend, seed], batch, answer_loss, steps)
scores = {attend: [accuracy(finders[attend, seed]) for seed in range(3)]
          for attend in (False, True)}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.4, 3.4))
for (attend, seed), losses in curves.items():
    smooth = np.convolve(losses, np.ones(15) / 15, "valid")
    ax.plot(smooth, color=show.CYCLE[attend], alpha=0.8, linewidth=1.5)
for attend, name in ((False, "mean of all cells"), (True, "attention")):
    text = f"{name}: {min(scores[attend]):.0%} to {max(scores[attend]):.0%} right on new scenes"
    show.label(ax, steps, 0.85 if attend else 1.45, text, color=show.CYCLE[attend])
ax.axhline(np.log(4), color=show.QUIET, linewidth=1, linestyle=":")
ax.set(xlabel="training step", ylabel="loss (nats)", ylim=(0, 1.7),
       title="The mean gets little; attention finds the thing")
show.figure(fig, alt="Loss curves of six runs. The three with the mean fall only a little "
                     "below the dotted line of guessing at 1.39; the three with attention "
                     "stay there at first and then drop towards zero.")
common = [Counter(one.shape for one in scene).most_common(1)[0][0] for scene, _ in test[3]]
ruled = np.mean([shape == thing.shape for shape, (_, thing) in zip(common, test[3])])
print(f"always the commonest shape of the picture: {ruled:.0%} right")
assert min(scores[True]) > 0.85 and min(scores[True]) > max(scores[False]) + 0.25

# %% [markdown] slideshow={"slide_type": "subslide"}
# Look at the curves of attention once more. At first the model is as blind as the mean. Then its loss begins to fall, with pauses. A likely reason: when the weights point a *little* to the right place, the answer gets better, which makes them point better.
#
# The mean is not useless: the picture limits which shapes can be the answer. After these few steps it does worse than a rule that never hears the question, *name the commonest shape of the picture*. With more steps it comes near this rule; attention needs some hundred to find the thing.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look inside: where does it look?
# We asked for shapes and never for places. Yet to answer, the model had to find the thing. Lay the 64 weights over the picture, as light. (The brightest cell often covers only an edge of the thing: through the convolutions each cell also sees its neighbors.)

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
finder = finders[True, 0]
with torch.no_grad():
    logits, weights = finder(test[0], test[1])
guesses, weights = logits.argmax(-1), weights.reshape(-1, 8, 8).cpu()
fig, axes = plt.subplots(2, 4, figsize=(9.4, 5.2))
for i, ax in enumerate(axes.flat):
    scene, thing = test[3][i]
    title = f"the {thing.color} thing: {shapes[guesses[i]]}"
    show.look(ax, scene.image(256), weights[i], title)
show.figure(fig, alt="Eight scenes with attention drawn over them as light. In nearly "
                     "every one the light lies on the thing that has the asked color; the "
                     "title gives the shape that the model answered.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# A pretty map is not yet a measurement. The **pointing game** (Zhang et al. 2016) is: does the cell with the largest weight touch the asked thing? The world knows the true outline of everything, so we can count.

# %% slideshow={"slide_type": "fragment"} tags=["hide-input", "nbval-ignore-output"]
def touches(scene, thing):
    """The cells that the thing touches: (8, 8) booleans from its true mask."""
    mask = scene.masks(64)[scene.objects.index(thing)]
    return torch.from_numpy(mask).reshape(8, 8, 8, 8).any(3).any(1)


def pointing(model):
    with torch.no_grad():
        places = model(test[0], test[1])[1].flatten(1).argmax(-1)
    return np.mean([touches(*asked).flatten()[place].item()
                    for asked, place in zip(test[3], places)])


hits = [pointing(finders[True, seed]) for seed in range(3)]
chance = np.mean([touches(*asked).float().mean() for asked in test[3]])
print(f"points at the asked thing: {min(hits):.0%} to {max(hits):.0%} of the new scenes")
thing_chance = np.mean([1 / len(scene) for scene, _ in test[3]])
print(f"a cell chosen at random:   {chance:.0%}; a thing chosen at random: {thing_chance:.0%}")
assert min(hits) > 0.85

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Where it was least sure
# Always look at the worst cases; they teach more than the score. Here are the ten scenes in which the weakest of the three models believed least in the truth, wrong answers in orange. Look at the place of the light: is it on the right thing? If so, the model found it and misread its shape. Finding and naming are two different errors.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
worst = finders[True, int(np.argmin(scores[True]))]
with torch.no_grad():
    logits, weights = worst(test[0], test[1])
right = logits.softmax(-1).gather(1, test[2][:, None])[:, 0]  # how much the true answer got
fig, axes = plt.subplots(2, 5, figsize=(10.5, 4.9))
for ax, i in zip(axes.flat, right.argsort()[:10].tolist()):
    scene, thing = test[3][i]
    said = shapes[logits[i].argmax()]
    title = f"the {thing.color} {thing.shape}:\n{said} ({right[i]:.0%} on the truth)"
    show.look(ax, scene.image(256), weights[i].reshape(8, 8).cpu())
    ax.set_title(title, fontsize=10, color=show.INK if said == thing.shape else "#A84300")
show.figure(fig, alt="The ten scenes in which the weakest of the three models gave the "
                     "true shape the least probability; with its attention as light.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Does this happen in large experiments?
# CLEVR (Johnson et al. 2017) asks such questions about rendered 3-D scenes. Its "query attribute" questions, right in percent, as Santoro et al. (2017) list them. A CNN reads the picture, an LSTM the question:
#
# | model | CLEVR, query attribute | is like our |
# |---|---|---|
# | CNN + LSTM, no attention | 49.3 | mean |
# | CNN + LSTM + stacked attention | 85.3 | attention |
#
# The same pattern? **Yes**: without attention well below, with attention far above. Their numbers were read here from a secondary source; their task has more answers, so only the pattern compares.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: the attention explorer
# Choose a scene and ask for a color, also for one that is *not there*. Then turn the sharpness: it multiplies the query, as you did by hand on the shelf. At 0 all cells weigh the same. The model has never seen that in training: watch how sure it stays of an answer that no longer depends on where the thing is.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
start = next(seed for seed in range(41) for shown in [world.sample(2**31 + seed)]
             if len(shown) > 3 and [thing.color for thing in shown].count("red") == 1)


def explore(scene=start, color="red", sharpness=1.0):
    """One scene, one asked color: where the model looks and what it answers."""
    shown = world.sample(2**31 + scene)
    picture = torch.from_numpy(world.draw([shown], 64)).permute(0, 3, 1, 2) / 127.5 - 1
    look, word = finder.attend, finder.word.weight[colors.index(color)].view(1, 1, -1)
    with torch.no_grad():
        cells = finder.norm(finder.cells(picture.to(device())).flatten(2).transpose(1, 2))
        query = sharpness * look.query(word)
        found, weights = attention(query, look.key(cells), look.value(cells))
        answer = finder.answer(torch.cat([look.output(found), word], -1))[0, 0].softmax(-1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.1), width_ratios=(1, 1))
    show.look(left, shown.image(256), weights.reshape(8, 8).cpu(), f"the {color} thing?")
    right.barh(shapes, answer.cpu(), color=show.ACCENT)
    right.set(xlim=(0, 1), xlabel="probability", title=f"a {shapes[answer.argmax()]}, it says")
    right.invert_yaxis()
    return fig, f"{len(shown)} things; looking for {color}: {shapes[answer.argmax()]}."


widgets.explorer(explore, scene=(0, 40, 1), color=colors, sharpness=(0.0, 4.0, 0.25))

# %% [markdown] slideshow={"slide_type": "notes"}
# Live: ask for a color that is not in the scene. The weights must sum to one, so they go somewhere, often spread; the answer is a little less sure, and still often above 90%. A good moment to say that attention cannot say "nothing here" unless it is given a place to put the weight.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - Attention is a weighted mean whose weights come from a question: score, softmax, mix.
# - Divide scores by $\sqrt{d}$, or the choice is made by luck before training.
# - A mask hides keys before the softmax; True means may look. Check it: change the last word, look what moves.
# - Heads can look at several places at once; all of it costs T².
# - Trained for answers only, attention points at the thing it is asked about. You measured it.

# %% [markdown] template="words"

# %% [markdown]
# ## Exercises
# Six of them, about 90 minutes: `exercises/11_attention.ipynb`, which `mmcourse lab` copies to `my_work/`. You will write attention, masks and heads yourself, hunt a bug that fooled many people, and build an attention by hand that needs no training.

# %% [markdown]
# ## Sources
# - D. Bahdanau, K. Cho, Y. Bengio (2015), *Neural machine translation by jointly learning to align and translate*: attention before Transformers.
# - A. Vaswani and others (2017), *Attention is all you need*: scaled dot product, multi-head.
# - J. Johnson and others (2017), *CLEVR*; A. Santoro and others (2017), *A simple neural network module for relational reasoning*: the two rows above.
# - J. Zhang and others (2016), *Top-down neural attention by excitation backprop*: the pointing game.
# - T. Dao and others (2022), *FlashAttention*: exact attention without storing the weights.
