# ---
# title: Text to image
# question: A model paints pictures out of noise. How does a sentence decide which?
# minutes: 90
# level: advanced
# objectives:
#   - let a Transformer that denoises pictures read a sentence by cross-attention
#   - train it with and without dropped sentences, and derive guidance
#   - choose a guidance weight, and measure what it buys and costs
#   - edit pictures, and see which word acts where
#   - let a painter learn from its own marks
#   - judge what was drawn by facts, by FID and KID, and by the nearest picture
# prerequisites: [21, 33]
# device: Two CPU cores are enough.
# words:
#   text to image: 文生图
#   cross-attention: 交叉注意力
#   classifier-free guidance: 无分类器引导
#   negative prompt: 反向提示词
#   diversity: 多样性
#   advantage: 优势值
#   inpainting: 图像修补
#   composition: 组合性
#   memorisation: 记忆化
#   variational autoencoder: 变分自编码器
#   latent space: 潜空间
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Who told it what to paint?
# Lesson 33's models paint pictures that look like those of the world. You cannot tell them **which**. Below, the same model paints twice from the same noise: once without reading the sentence, once reading it.
#
# Predict before you run on: what will the two rows have in common?

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import mmcourse
from mmcourse import device, metrics, recipes, show, widgets, world, zoo
from mmcourse.batches import PAD, WORDS, encode, pictures, pixels
from mmcourse.models.attention import attention, causal_mask
from mmcourse.models.dit import DiT
from mmcourse.models.text2image import images
from mmcourse.models.vit import KINDS, STANDARD
from mmcourse.recipes.painter import errors
from mmcourse.training import fit

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
def light(pictures):
    """Rounded to 16 levels of each color: the file of the notebook stays small."""
    return [picture.point(lambda level: round(level / 17) * 17) for picture in pictures]


artist = zoo.load("text2image")
asked = ["a red circle left of a blue square", "two green stars",
         "a large black triangle and a small pink circle", "a yellow square"]
blind, reading = (artist.draw(asked, 44, guidance=w, tries=1) for w in (0, 1))
show.pictures(light(blind + reading), ["(not read)"] * 4 + asked, side=1.1,
              alt="Two rows of four pictures of shapes. In the first the shapes are any; in "
                  "the second they are mostly what the sentences below them say.",
              title="The same noise, without the sentence and with it")

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask for predictions first. The noise is the same in both rows, so pictures of a column often put things at similar places. What they show differs. guidance=0 means: use only the model's answer to an empty sentence. The rest of the lesson explains this argument.

# %% [markdown] slideshow={"slide_type": "fragment"}
# Both rows show solid things on white. Only the second one listens. Three parts can make it listen: an encoder that **reads** the sentence, **cross-attention** that brings words to patches, and **guidance** that makes words count more. You build them in this order.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Reading: from words to vectors
# The text encoder is built as lesson 21's: word vectors plus places, then self-attention. But CLIP kept **one** vector of a sentence. A painter needs to know which word said what, so it keeps all of them: (B, T, 128), with a mask that hides padding. And it drops CLIP's causal mask.
#
# Predict: *left* becomes *right* in the sentence below. Which vectors change, with a causal mask and without?

# %% slideshow={"slide_type": "fragment"}
ids, real = encode(["a star left of a square", "a star right of a square"])
layers = artist.text.encoder
with torch.no_grad():
    context, mask = artist.read(ids.to(device()))
    causal = layers(artist.text.embedding(ids.to(device())), causal_mask(ids.shape[1]).to(device()))
print("vectors", tuple(context.shape), " words", *(WORDS[i] for i in ids[0]))
for name, (one, other) in (("causal mask", causal), ("no causal mask", context)):
    changed = (one - other).abs().amax(-1).cpu() > 1e-4
    print(f"{name:<15} changed:", *(WORDS[i] for i in ids[0][changed]))
    assert changed[2] == (name == "no causal mask") and changed[3:].all()

# %% [markdown] slideshow={"slide_type": "fragment"}
# A patch on the left asks: which thing belongs here? With a causal mask the vector over *star* is the same in both sentences. It has not read on, so **it cannot answer**; only later words could. Without the mask it has read that it stands left. CLIP's own encoder is causal. It can afford that: it keeps the last vector alone. Imagen (Saharia and others 2022) and PixArt read with T5, which looks both ways.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Read first, then paint
# Can a painter learn *left of* from pictures alone? Near the noise things find their places. What is that word worth there? Ask a painter that knows it: how much larger is the error of its velocity (lesson 33) if we swap the sides in every sentence? Predict: twice as large, a third, less?

# %% slideshow={"slide_type": "-"}
two = [world.sample(seed, world.Spec(objects=(2, 2))) for seed in range(2**31, 2**31 + 128)]
true = [scene.caption(seed, "relation") for seed, scene in enumerate(two)]
swap = {"left": "right", "above": "below", "over": "under"}
swap |= {other: side for side, other in swap.items()}
false = [" ".join(swap.get(word, word) for word in sentence.split()) for sentence in true]
noise = torch.randn(128, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(device())
t = torch.full((128,), 0.93, device=device())
with torch.no_grad():
    good, bad = (errors(artist, pictures(two).to(device()), encode(said)[0].to(device()), t, noise)
                 .mean().item() for said in (true, false))
print(f"error under 93% noise: {good:.4f}; sides swapped: {bad:.4f}, {bad / good - 1:.1%} more")
assert 1 < bad / good < 1.2

# %% [markdown] slideshow={"slide_type": "subslide"}
# A weak signal under much noise: we expect it to be learned late. So teach the **words** first, without any picture: in which column and row is the thing of each word, how does it look, how many are there? This **reader** is `recipes/reader.py`. In the painter's recipe its words then stay as they are, like the T5 of Imagen.
#
# Predict eight maps: where is *star*, where is *square*?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
reader, hows = zoo.load("reader"), ("left of", "right of", "above", "below")
fig, axes = plt.subplots(2, 4, figsize=(7.2, 3.9))
for how, pair in zip(hows, axes.T):
    ids = encode([f"a star {how} a square"])[0].to(device())
    with torch.no_grad():
        columns, rows = (guess[0].softmax(-1).cpu() for guess in reader(ids)[:2])
    for ax, word, at in zip(pair, ("star", "square"), (2, -2)):      # behind <start> and a; before <end>
        ax.imshow(rows[at, :, None] * columns[at], cmap="Blues", vmin=0, vmax=0.06)
        ax.set_xticks([]), ax.set_yticks([])
    pair[0].set_title(f"a star {how} a square", fontsize=9)
    way = (columns if how in hows[:2] else rows)[[2, -2]] @ torch.arange(8.0)     # mean places
    assert (way[0] < way[1]) == (how in ("left of", "above"))
axes[0, 0].set_ylabel("star"), axes[1, 0].set_ylabel("square")
facts = recipes.manifest()["reader"]
print(f"{facts['steps']} steps in {facts['seconds']} s; sides right in {facts['scores']['place']:.0%} of 1,000")
show.figure(fig, alt="Eight maps of 8 by 8 patches, for star and square in four sentences. Each "
                     "thing's map is dark on the side that the sentence gives it.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Nothing is drawn, and the sides are known: to *star* they came from *left of*, which stands behind it. A painter that begins with these words need not find the sides, only use them. GLIGEN (Li and others 2023) is told places from outside; TokenCompose (Wang and others 2024) teaches the attention itself, with masks of things.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Cross-attention: patches ask, words answer
# $$x \leftarrow x + \mathrm{softmax}\!\left(\frac{(x W_Q)(c\, W_K)^\top}{\sqrt{d}}\right) c\, W_V$$
#
# | symbol | what | shape |
# |---|---|---|
# | $x$ | patches of the noisy picture | (N, D), N = 64 |
# | $c$ | words | (T, D) |
# | scores | which patch needs which word | (N, T) |
#
# Every patch asks. Words never change; the same sentence serves all steps.

# %% [markdown] slideshow={"slide_type": "subslide"}
# **By hand.** Two words: *red* with key (2, 0) and value 1, *blue* with key (0, 2) and value −1. A patch asks with the query (1.4, 0). So d = 2. What share of its attention does *red* get, and what is added to the patch?
#
# <details><summary>Answer</summary>
#
# Scores 2.8 / 1.414 = 1.98 and 0. The softmax gives 0.88 and 0.12. Added: 0.88 − 0.12 = 0.76.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
query = torch.tensor([[1.4, 0.0]])
keys, values = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0], [-1.0]])
added, shares = attention(query, keys, values)
print(f"shares {shares[0, 0]:.2f} and {shares[0, 1]:.2f}, added {added.item():.2f}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Beside it: joint attention
# Stable Diffusion 3 (Esser and others 2024) puts words and patches into **one** sequence. All see all, and words may change their minds about the picture. What does it cost? Count the scores of one head, for 64 patches and T words.

# %% slideshow={"slide_type": "-"}
print(f"{'':>16}{'self + cross':>18}{'joint':>13}")
for patches in (64, 4096):
    for words in (16, 77):
        cross, joint = patches ** 2 + patches * words, (patches + words) ** 2
        print(f"{patches:>6} + {words:<4} words{cross:>12,}{joint:>13,}  x {joint / cross:.2f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# For small pictures the sum is what matters, for large ones both cost the same. SD3 gives each kind of token its own weights, so joint attention has more parameters. This lesson uses cross-attention, as PixArt does (Chen and others 2024): words are read **once**, not at each step.

# %% [markdown]
# ## The block
# You know this block from lesson 33: the time shifts, scales and gates what attention and the feed-forward part do. One line is new: `self.cross`.

# %% include="mmcourse/models/dit.py::DiTBlock"

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Train it, now
# A small world, so that it takes seconds: one thing that fills 16 × 16 pixels. Four shapes, six colors, 24 sentences. The painter has two blocks; its text encoder is one vector for each word. It predicts the clean picture.
#
# In 15 of 100 examples the sentence is **dropped**: replaced by an empty one. Why? Soon.

# %%
shown = [world.Scene((world.Object(shape, color),)) for color, shape in KINDS]
things = pictures(shown)[:, :, 24:40, 24:40]                          # (24, 3, 16, 16)
said = [f"a {color} {shape}" for color, shape in KINDS]
ids, nothing = encode(said)[0], encode(["", "a red star"])[0][0]


class Painter(nn.Module):
    """noisy (B, 3, 16, 16), t (B,), ids (B, T) -> the clean pictures (B, 3, 16, 16)"""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), 64)
        self.dit = DiT(16, 8, d_model=96, num_heads=4, num_layers=2, d_context=64)

    def forward(self, noisy, t, ids):
        return self.dit(noisy, t, self.words(ids), ids != PAD)

# %% slideshow={"slide_type": "-"}
def examples(step, drop):
    chance = torch.Generator().manual_seed(step)
    kind = torch.randint(24, (48,), generator=chance)
    t = torch.rand(48, generator=chance) ** 0.5                    # mostly noisy
    gone = torch.rand(48, generator=chance) < drop
    told = torch.where(gone[:, None], nothing, ids[kind])
    return things[kind], told, t, torch.randn(48, 3, 16, 16, generator=chance)


def loss(model, data):
    picture, told, t, noise = data
    at = t[:, None, None, None]
    guess = model((1 - at) * picture + at * noise, t, told)
    return (guess - picture).square().mean()


curves, painters = {}, {}
for name, drop in (("dropped at times", 0.15), ("never dropped", 0.0)):
    torch.manual_seed(0)
    painters[name] = Painter()
    curves[name] = fit(painters[name], lambda step: examples(step, drop), loss, 120,
                       lr=5e-3, muon=0.03, warmup=10)

# %% [markdown] slideshow={"slide_type": "subslide"}
# Painting is lesson 33's walk in straight steps, from noise at t = 1 to the picture at t = 0. Both pictures, with and without words, come out of one batch. `chunk` cuts it in two: in the **same order** in which you put them together.

# %%
@torch.no_grad()
def paint(model, told, guidance, steps=8, seed=0):
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(len(told), 3, 16, 16, generator=chance).to(device())
    both = torch.cat([told, nothing.expand_as(told)]).to(device())   # words first
    for step in range(steps, 0, -1):
        t = torch.full((2 * len(x),), step / steps, device=device())
        with_words, without = model(x.repeat(2, 1, 1, 1), t, both).chunk(2)
        picture = without + guidance * (with_words - without)
        x = x - (x - picture) / step                               # 1 / step of the way
    return x.cpu()


def hits(x):
    """Which pictures are nearest to the thing that was asked for, and near: (24,)"""
    apart = (x[:, None] - things).square().flatten(2).mean(-1)          # (24, 24)
    return (apart.argmin(1) == torch.arange(24)) & (apart.min(1).values < 0.1)


def right(x):
    return hits(x).float().mean().item()

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(8, 3))
for (name, curve), height in zip(curves.items(), (2.2, 0.6)):
    ax.plot(curve, linewidth=1.2, label=name)
ax.set(xlabel="training step", ylabel="loss", yscale="log",
       title="Dropped sentences cost: what is shown then can only be guessed")
ax.legend()
show.figure(fig, alt="Two loss curves. Where sentences are dropped the loss ends higher.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Classifier-free guidance
# A trained painter listens, but not enough: in a hard world it hedges. Ho and Salimans (2022): ask twice. What differs between the two answers is what the **words** did. Go further that way:
#
# $$\tilde p = p_\varnothing + w \,(p_c - p_\varnothing)$$
#
# $p_c$: the picture foreseen with words, $p_\varnothing$: without, $w$: the guidance weight. By hand: a pixel is 0.2 without words and 0.5 with. What do w = 0, 1 and 3 give?
#
# <details><summary>Answer</summary>
#
# 0.2, 0.5 and 0.2 + 3 · 0.3 = 1.1, which is beyond white.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# **Why this form?** By Bayes, $p(x \mid c) \propto p(x)\, p(c \mid x)$. Trust the words w times: $p(x)\, p(c \mid x)^w$. Take the gradient of its logarithm, and replace $\nabla \log p(c \mid x)$ by $\nabla \log p(x \mid c) - \nabla \log p(x)$. No classifier is left. Under noise, at time t, that gradient is $((1 - t)\,\hat p - x) / t^2$ with the foreseen picture $\hat p$ (Tweedie's formula; Efron 2011). It is linear in $\hat p$, so the formula carries over. But $p_\varnothing$ must have been **learned**. That is why sentences were dropped.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Break it on purpose: nobody dropped the sentence
# Your two painters: one has seen empty sentences, the other never. Its answer to an empty sentence is whatever comes out. Predict both rows at w = 1 and at w = 2.

# %% slideshow={"slide_type": "fragment"} tags=["nbval-ignore-output"]
print(f"{'sentences were':<20}" + "".join(f"   w = {w}" for w in (1, 2, 4)))
drawn = {}
for name, model in painters.items():
    drawn[name] = {w: paint(model, ids, w) for w in (1, 2, 4)}
    print(f"{name:<20}" + "".join(f"{right(x):>8.0%}" for x in drawn[name].values()))
assert right(drawn["dropped at times"][1]) > 0.8 and right(drawn["dropped at times"][2]) > 0.7
assert right(drawn["never dropped"][1]) > 0.8 > 0.5 > right(drawn["never dropped"][2])

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
fig, axes = plt.subplots(2, 2, figsize=(8.6, 1.9))
for row, (name, results) in zip(axes, drawn.items()):
    for ax, w in zip(row, (1, 2)):
        strip = torch.nn.functional.pad(results[w][::2], (1, 1, 1, 1), value=1.0)
        show.panel(ax, images(torch.cat(list(strip), -1)[None])[0],
                   f"{name}, w = {w}: {right(results[w]):.0%} right")
show.figure(fig, alt="Four strips of twelve painted things. With dropped sentences the "
                     "things are right at both weights; without, they fall apart at 2.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The loss of the broken one was **better**, and without guidance it paints well. It fails only when you turn guidance on. (At w = 4 both are pushed too far: their world is easy, and needs no guidance.) The invariant that catches it: feed the empty sentence alone. The pictures must be pictures of the world, with all its colors. This bug stands in the histories of several public repositories.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A finished painter
# `Text2Image`: 64 pixels, four blocks. Its words are the reader's, and stay as they are. Its sentences name one to four things; one of ten was dropped. It learned with **REPA** as well (Yu and others 2025): after half of its blocks, its patches should already know what lesson 14's eye will see in the finished picture.
#
# The contact sheet: 98 held-out sentences, 14 of each of seven categories: GenEval's six (Ghosh and others 2023) and one of ours. Nothing is chosen by hand.

# %% tags=["nbval-ignore-output"]
prompts = [prompt for category in world.CATEGORIES
           for prompt in world.prompts(category, 14, 2**31 + 4000)]
sheet = artist.draw([prompt.text for prompt in prompts], seed=2**31, tries=1)
came_true = [world.right(prompt, picture) for prompt, picture in zip(prompts, sheet)]

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(7.6, 3.9))
board = np.full((7 * 68, 14 * 68, 3), 160, np.uint8)
for i, (picture, fine) in enumerate(zip(light(sheet), came_true)):
    y, x = i // 14 * 68, i % 14 * 68
    board[y:y + 68, x:x + 68] = (222, 222, 222) if fine else (213, 94, 0)
    board[y + 2:y + 66, x + 2:x + 66] = np.asarray(picture)
ax.imshow(board)
ax.set_yticks([34 + 68 * i for i in range(7)], world.CATEGORIES)
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
ax.set_title(f"98 sentences: {sum(came_true)} right by the oracle; orange frames are wrong")
show.figure(fig, alt="A sheet of 98 drawn pictures in seven rows, one for each category. "
                     "Those that the oracle calls wrong have an orange frame.")

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
wrong = [i for i, fine in enumerate(came_true) if not fine]
brief = sorted(wrong, key=lambda i: len(prompts[i].text))[:8]
show.pictures(light(sheet[i] for i in brief), [prompts[i].text for i in brief], side=1.5,
              alt="Eight drawn pictures that the oracle calls wrong, with their sentences.",
              title="Wrong ones, with the shortest sentences: what is wrong?")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## GenEval, published and here
# GenEval asks six kinds of questions, with an object detector; our oracle reads the scene back exactly. Same categories, another world: compare the **shape** of the rows, not their height. The seventh column, all attributes of two or three things and a relation, is ours alone.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
kept = json.loads((mmcourse.root() / "data/text2image.json").read_text("utf-8"))
published = {"SD 1.5": (.97, .38, .35, .76, .04, .06), "SD 2.1": (.98, .51, .44, .85, .07, .17),
             "SDXL": (.98, .74, .39, .85, .15, .23), "IF-XL": (.97, .74, .66, .81, .13, .35),
             "SD3 medium": (.98, .74, .63, .67, .34, .36)}
print(f"{'':<18}single   two  count color place binding  all")
for name, row in published.items():
    print(f"{name:<18}" + "".join(f"{share:6.2f}" for share in row))
ours = [kept[category]["first"] for category in world.CATEGORIES]
print(f"{'ours, ' + str(kept['count']['count']) + ' each':<18}"
      + "".join(f"{share:6.2f}" for share in ours))
now = world.score(prompts, sheet)
print(f"{'ours, just now':<18}" + "".join(f"{now[c]:6.2f}" for c in world.CATEGORIES))
assert abs(np.mean(ours) - now["overall"]) < 0.3

# %% [markdown] slideshow={"slide_type": "fragment"}
# The published rows mostly agree: one thing is easy, then come color and two things; **count, position and binding** are hard. Adding words of one thing is easy; keeping them apart is not. A model that heard the words as a bag could score well in the first columns and would stay near chance in *place*. Ours stands out in *place*. We think: because its words knew the sides before it painted anything. And because of the marks that it got, two pages on.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look, and paint anew
# DALL·E (Ramesh and others 2021) painted 512 pictures and let CLIP choose. Our painter looks with lesson 14's eye and asks:
#
# 1. Is all there that the sentence names, and nothing besides?
# 2. Would it still be true if a thing stood one pixel elsewhere?
# 3. Draw the things that the eye saw: is the picture like that, also where it should be white?
#
# If not, it paints from other noise, 100 times at most. The oracle has no part in this. Predict: if one try comes true with chance p, what do 100 tries give? What can go wrong?

# %% slideshow={"slide_type": "fragment"} tags=["nbval-ignore-output"]
hard = [i for i, prompt in enumerate(prompts) if prompt.category in ("position", "everything")]
again = artist.draw([prompts[i].text for i in hard], [2**31 + i for i in hard])
better = [world.right(prompts[i], picture) for i, picture in zip(hard, again)]
print(f"{len(hard)} sentences on places: {np.mean([came_true[i] for i in hard]):.0%} right at once, "
      f"{np.mean(better):.0%} after up to 100 tries")
print(f"\n{'stored':<18}{'first try':>10}{'1-(1-p)^100':>12}{'100 tries':>10}")
for category in world.CATEGORIES:
    p = kept[category]["first"]
    print(f"{category:<18}{p:>10.1%}{1 - (1 - p) ** 100:>12.1%}{kept[category]['share']:>10.1%}")
assert sum(better) >= sum(came_true[i] for i in hard)

# %% [markdown] slideshow={"slide_type": "fragment"}
# Compare the last two columns: the formula promises a little more than comes, most in the last row. It assumes two things. All sentences are equally hard; if some hardly ever come true, tries do not help them. And the judge never errs; what the eye misreads is handed in. So tries are no substitute for a painter that listens. They are honest only because eye and oracle are **two** judges: one chooses, the other one marks.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Marked, and trained on the marks
# Every picture of the training was right, so the painter never met its **own** mistakes. Lesson 32 had a way: let the model act, let the oracle mark it, make likelier what was better than usual. So paint one sentence eight times. Each mark minus the mean of the eight is the **advantage**. This is the painter before any marks. (For *left of*, the oracle wants things clearly more beside than above one another.)

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
unmarked, sentence = zoo.load("painter"), "a star left of a circle"
tried = unmarked.draw([sentence] * 8, seed=40, tries=1, guidance=1.5)
marks = torch.tensor([float(world.right(sentence, picture)) for picture in tried])
show.pictures(light(tried), [f"{better:+.2f}" for better in marks - marks.mean()], side=1.1, columns=8,
              alt="Eight pictures of one sentence, each with its advantage: above zero where it is right.",
              title=f"{sentence}: advantages")

# %% [markdown] slideshow={"slide_type": "subslide"}
# How likely is a picture to this painter? It cannot say, so take a stand-in: the **error** of its velocity on that picture under noise. The less it errs, the likelier it would paint it. Lower the errors where the advantage is above zero, raise them where it is below. This is lesson 32's REINFORCE (Williams 1992), with a stand-in for the logarithm; DiffusionNFT (Zheng and others 2025) does it in a safer way. Raised without end, errors would leave nothing of the painter; so none counts beyond `MOST` = 0.3.

# %% slideshow={"slide_type": "-"} include="mmcourse/recipes/text2image.py::judged"

# %% [markdown] slideshow={"slide_type": "subslide"}
# The artist of this lesson is that painter after such steps, each with 12 sentences painted 8 times. Before, it got guidance of 1.5; now it gets 1, which is none (the next page compares). Held-out sentences, first tries, the same noise. Predict: which column gains most? And what might it have paid?

# %% slideshow={"slide_type": "fragment"} tags=["nbval-ignore-output"]
print(f"{'first tries':<18}single   two  count color place binding  all")
for name, key in (("before any marks", "before"), ("after", "first")):
    print(f"{name:<18}" + "".join(f"{kept[c][key]:6.2f}" for c in world.CATEGORIES))
print(f"\n{'':<18}{'FID':>7}{'KID':>9}{'diversity':>11}")
for name, key in (("before any marks", "painter"), ("after", "text2image")):
    far = kept["distances"][key]
    print(f"{name:<18}{far['fid']:>7.3f}{far['kid']:>9.4f}{far['diversity']:>11.2f}")
facts = recipes.manifest()
print(f"\n{facts['painter']['steps']:,} steps before any marks, {facts['text2image']['steps']:,} with them")
assert sum(kept[c]["first"] - kept[c]["before"] for c in world.CATEGORIES) > 0

# %% [markdown] slideshow={"slide_type": "fragment"}
# Published: 63% to 95% on GenEval for SD3.5 Medium (Liu and others 2025, Flow-GRPO). The danger is **reward hacking** (奖励作弊): the painter learns what pleases the judge, and nothing else. So look at what no mark asked for. **FID and KID**: distance to real pictures, explained below; less is better. **Diversity**: how far apart eight pictures of one sentence are. FID rose a little; the others say nothing clear. *Two things* gained most. *All* gained little, though most marks went there, perhaps because nothing is better than usual where no try of eight is right.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The weight: a hill, and its price
# Stored by `data/make_text2image.py`: first tries with weights from 0 to 12, before any marks and after. **Right**: the share of sentences that came true. KID, with 200 pictures each, and diversity are measured as on the page before. Predict the three pairs of curves.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
tables = kept["guidance"]["rows"]
fig, axes = plt.subplots(1, 3, figsize=(9.8, 2.9))
weights, labels = [row["guidance"] for row in tables["painter"]], ("before any marks", "after")
for label, rows in zip(labels, tables.values()):
    for ax, key in zip(axes, ("right", "kid", "diversity")):
        ax.plot(weights, [row[key] for row in rows], marker="o", label=label)
for ax, title in zip(axes, ("right sentences", "KID to real pictures", "diversity")):
    ax.set(xlabel="guidance weight w", title=title)
axes[0].set_ylim(0, 1), axes[2].set_ylim(0, None), axes[0].legend()
show.figure(fig, alt="Three pairs of curves over the guidance weight: the share of right "
                     "sentences, the distance to real pictures, and diversity, which shrinks.")
print(f"w ({kept['guidance']['count']} sentences)" + "".join(f"{w:>6g}" for w in weights))
for label, rows in zip(labels, tables.values()):
    shares = [row["right"] for row in rows]
    print(f"{label:<17}" + "".join(f"{share:>6.0%}" for share in shares))
    assert shares[0] < max(shares) > shares[-1]

# %% [markdown] slideshow={"slide_type": "subslide"}
# A little guidance makes more sentences come true and pictures more real; more spoils both: a hill, and a valley. Diversity falls. Guidance trades **variety for obedience**. Published: for DiT-XL/2 on ImageNet the FID is 9.62 without guidance, 3.22 at 1.25 and 2.27 at 1.5 (Peebles and Xie 2023), while recall, a measure of diversity, falls from 0.67 to 0.57.
#
# Our hill is low: words that were taught need little help. And guidance asks twice at each step. For that price `draw` paints a second picture, and an eye chooses:

# %% slideshow={"slide_type": "-"}
plain = tables["text2image"][1]["right"]                               # w = 1
print(f"one try: {plain:.1%}; one of two tries, if all are equally hard: {1 - (1 - plain)**2:.1%}; "
      f"guided, w = 1.5: {tables['text2image'][2]['right']:.1%}")

# %% slideshow={"slide_type": "subslide"} tags=["nbval-ignore-output"]
sentence = "a small red star above a large blue circle"
row = [artist.draw(sentence, seed=3, guidance=w, tries=1) for w in (0, 1, 2, 4, 8, 16)]
show.pictures(light(row), [f"w = {w}" for w in (0, 1, 2, 4, 8, 16)], columns=6, side=1.0,
              alt="Six pictures from one noise with growing guidance weight.",
              title=f"One noise, six weights: {sentence}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Seeds
# The noise decides what the sentence leaves open: here, where. The seed decides the noise. In `draw`, picture k of a list uses seed + k, so a picture does not know its neighbours: the same sentence and seed give the same picture alone or in a batch.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
four = artist.draw(["a large green triangle"] * 4, seed=40, tries=1)
alone = artist.draw("a large green triangle", seed=42, tries=1)
apart = np.abs(np.asarray(four[2], int) - np.asarray(alone, int)).max()
print("largest difference to the picture drawn alone:", apart, "of 255")
assert apart <= 1
other = artist.draw(["a large green triangle", "a large red triangle", "a large red star",
                     "two red stars"], seed=[40] * 4, tries=1)
show.pictures(light(four + other), [f"seed {s}" for s in range(40, 44)] + [
    "a large green triangle", "a large red triangle", "a large red star", "two red stars"],
    side=1.0, alt="Above: one sentence with four seeds, at four places. Below: four "
    "sentences with one seed.", title="Above: one sentence, four seeds. Below: one seed")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Negative prompts
# In the formula $p_\varnothing$ need not be empty. Put in what you do **not** want, and every step moves away from it. No new training: a negative prompt is a second sentence in the other half of the batch.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
def reds(negative, sentence="a large circle"):
    made = artist.draw([sentence] * 16, seed=100, steps=8, guidance=3, negative=negative, tries=1)
    red = np.mean([thing.color == "red" for picture in made for thing in world.read(picture)])
    print(f"negative {negative!r}: {red:.0%} of the things are red, "
          f"{sum(world.right(sentence, picture) for picture in made)} of 16 pictures right")
    return made, red


plain, share = reds("")
without, less = reds("a red circle")
show.pictures(light(plain[:5] + without[:5]), [""] * 5 + ["not red"] * 5, columns=5, side=0.8,
              alt="Five pictures of a circle; below, the same seeds with a negative prompt.",
              title="Five seeds; below, with a negative prompt")
assert less <= share + 0.1

# %% [markdown] slideshow={"slide_type": "fragment"}
# Without it, red comes more often than once in six: a large weight narrows the choice. And a negative prompt pushes away from **all** that it says, from *circle* too. So check that what you want is still there.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which word acts where?
# Cross-attention has an answer for every patch and word: (N, T) in each block, head and step. Average them, and each word has a map over the picture (Hertz and others 2023; Tang and others 2023).

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
from mmcourse.models.text2image import word_maps

words, maps, picture = word_maps(artist, "a red circle above a blue square", seed=1)
fig, axes = plt.subplots(1, len(words) + 1, figsize=(9, 1.3))
picture = light([picture])[0]
show.panel(axes[0], picture, "drawn")
for ax, word, one in zip(axes[1:], words, maps):
    show.look(ax, picture, one - one.min(), word)
show.figure(fig, alt="The picture, and for each word the same picture with light where "
                     "patches looked at this word.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The maps are relative: bright is where this word got **most**. Each vector has read the whole sentence (*circle* knows that it is red and above), so words can speak for one another. Here *red* need not light the red thing: *circle* has read it. A map says where a word was read, not that the model would fail without it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Editing without new training
# **Image to image** (SDEdit, Meng and others 2022): do not start at t = 1. Put noise on a given picture up to t = *strength* and walk down with a new sentence. **Inpainting** (RePaint, Lugmayr and others 2022): after each step, overwrite the part that stays by the given picture, noised to the same t.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
given = world.Scene((world.Object("circle", "red", x=0.3, y=0.3),
                     world.Object("square", "blue", x=0.7, y=0.7)))
text = "a green circle and a blue square"
strengths = (0.3, 0.6, 0.8, 0.95)
changed = [artist.edit(given.image(64), text, strength, seed=84, guidance=3)
           for strength in strengths]
anew = np.zeros((64, 64), bool)
anew[32:, 32:] = True
filled = artist.fill(given.image(64), anew, "a red circle and a yellow star", guidance=3)
show.pictures(light([given.image(64), *changed, filled]),
              ["given", *(f"strength {s}" for s in strengths), "lower right painted anew"],
              columns=6, side=1.0, alt="A red circle and a blue square; four edits with "
              "growing strength towards a green circle; a picture whose lower right "
              "quarter was painted anew.", title=f"Towards: {text}")
kept_part = np.abs(np.asarray(filled, int) - np.asarray(given.image(64), int))[~anew]
print("largest change outside of the marked part:", kept_part.max(), "of 255")
assert kept_part.max() <= 1

# %% [markdown] slideshow={"slide_type": "fragment"}
# Little strength: the old color wins, because it shows through the noise. Full strength: the old picture is forgotten. What things are and where is decided **early**, at large t; edges late. (In which order, one picture cannot say: lesson 33 counted, and color and place fell together.) That is why there is a best strength for each kind of edit.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How far from real? FID and KID
# Show real and drawn pictures to a trained eye, and compare the two clouds of features. **FID** (Heusel and others 2017): the distance of two Gaussians with the clouds' means and covariances. **KID** (Binkowski and others 2018): a kernel distance, zero on average if nothing differs, for any number of pictures. FID is not: **it is biased**, and few pictures make it larger.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
eye = zoo.load("vision")


@torch.no_grad()
def features(pictures):
    """The mean of the eye's patch vectors, (N, 128)."""
    return torch.cat([eye(part.to(device())).mean(1).cpu() for part in pictures.split(100)])


one_to_four = world.Spec(objects=(1, 4))
fresh = features(pictures([world.sample(2**31 + i, one_to_four) for i in range(600)]))
print("real against real, at two sizes:")
for n in (150, 300):
    a, b = fresh[:n], fresh[300:300 + n]
    print(f"  {n} pictures: FID {metrics.fid(a, b):7.3f}   KID {metrics.kid(a, b):8.4f}")
print(f"stored, {kept['distances']['count']} pictures each:")
for name, pair in (("real", "renders"), ("drawn", "text2image")):
    print(f"  {name:<6} against real: FID {kept['distances'][pair]['fid']:7.3f}   "
          f"KID {kept['distances'][pair]['kid']:8.4f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The tests of this course compare both with torchmetrics, given the same network. Two warnings. FIDs of different numbers of pictures cannot be compared (a frequent mistake). And an FID never reads the sentence: a model that draws something beautiful and **wrong** has a fine FID. So we ask the oracle first.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Did it learn, or learn by heart?
# Large models can return training pictures (Carlini and others 2023). The check: for each drawn picture, the distance to its **nearest training picture**. By itself a distance says nothing. So measure the same for fresh renders, which no model has copied.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
from mmcourse.recipes.painter import drawn as lesson_of

trained_on = pictures([lesson_of(step * 1024 + k)[0] for step in range(40)
                       for k in range(25)])
mine = pixels([sheet[i] for i in range(98)])
also = pictures([world.sample(2**31 + i, one_to_four) for i in range(98)])
for name, some in (("drawn", mine), ("fresh renders", also)):
    near = torch.cdist(some.flatten(1), trained_on.flatten(1)) / some[0].numel() ** 0.5
    print(f"{name:<14} nearest of 1000: median {near.min(1).values.median():.3f}, "
          f"smallest {near.min():.3f}")
far = kept["nearest"]
for name in ("drawn", "fresh"):
    print(f"{name:<14} nearest of {far['training']}: median {far[name]['median']:.3f}, "
          f"smallest {far[name]['smallest']:.3f}")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Copies would have a distance near 0. In the median, drawn pictures are as far from the training set as pictures that never met it. No wonder: each step of the training saw new scenes, and none came back. Memorisation needs repetition: web data have the same poster a thousand times.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A pair it never saw
# The other question: can it paint what it was *never* shown? Train your small painter once more, without six of the 24 things: one shape of each color is hidden. It meets each word, never these pairs. Predict its share of right ones among the six.

# %%
hidden = torch.tensor([(STANDARD.colors.index(color) + STANDARD.shapes.index(shape)) % 4 == 0
                       for color, shape in KINDS])
seen = (~hidden).nonzero()[:, 0]


def without_pairs(step):
    _, told, t, noise = examples(step, 0.15)
    kind = seen[torch.randint(len(seen), (48,), generator=torch.Generator().manual_seed(step))]
    told = torch.where((told == nothing).all(1)[:, None], nothing, ids[kind])
    return things[kind], told, t, noise


torch.manual_seed(0)
painters["pairs hidden"] = Painter()
fit(painters["pairs hidden"], without_pairs, loss, 120, lr=5e-3, muon=0.03, warmup=10)
fine = [hits(paint(painters["pairs hidden"], ids, 1, seed=seed)) for seed in range(4)]
fine = torch.stack(fine).float().mean(0)
print(f"seen pairs: {fine[seen].mean():.0%} right, unseen pairs: {fine[hidden].mean():.0%}")
assert fine[seen].mean() > 0.6 > fine[hidden].mean()

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
row = images(paint(painters["pairs hidden"], ids, 1)[hidden])
show.pictures(light(row), [name for name, new in zip(said, hidden) if new], columns=6, side=1.1,
              alt="Six small pictures of things whose color and shape were never shown together.",
              title=f"Six pairs that it never saw: {fine[hidden].mean():.0%} right "
                    f"(those it saw: {fine[seen].mean():.0%})")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The color is near, and often the shape. To put both together it would have to know that they are **independent**; nothing in 18 pictures says so. One draw of six pairs says little: change the seed above and run both cells again. Large models have met far more pairs. Whether that is enough? Ask one for *a cube-shaped banana*.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Four times the pixels
# Our painter paints 64 × 64. What does 128 × 128 take? Let a patch grow to 16 × 16 pixels: still 64 patches, and what the blocks know of words and places holds. Only the first and the last layer change. But noise changes, too. Shrink a noisy picture to half its sides: each pixel becomes the mean of four.
#
# **By hand.** At t = 0.5 a picture is half itself, half noise. What is left of both when it shrinks? At which t does 128 × 128 hide as much as 64 × 64 did?
#
# <details><summary>Answer</summary>
#
# Means of the picture stay 0.5 of it. The mean of four independent noises has half the standard deviation: 0.25. To hide as much, t / (1 − t) must be twice as large: 2 instead of 1, so t = 2/3.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
noise = torch.randn(100, 3, 128, 128, generator=torch.Generator().manual_seed(0))
print(f"noise, shrunk: standard deviation {nn.functional.avg_pool2d(noise, 2).std():.3f}")
for t in (0.2, 0.5, 0.9, 0.98):
    odds = 2 * t / (1 - t)
    print(f"t = {t:.2f} at 64 pixels hides as much as t = {odds / (1 + odds):.3f} at 128")

# %% [markdown] slideshow={"slide_type": "subslide"}
# So all times move towards the noise, in training and in painting (Esser and others 2024, equation 23). `recipes/painter128.py` grows the large painter **out of the small one**: its first layer begins with means of 2 × 2 pixels, its last gives each pixel four times. That paints at once, but with coarse edges and more mistakes. Then it trains on. Predict: how long, beside the small one's training?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
grown, large = recipes.find("painter128").model().to(device()), zoo.load("painter128")
rows = [model.draw(asked, 44, guidance=1.5, tries=10) for model in (grown, large)]
show.pictures(light(rows[0] + rows[1]), [*["grown"] * 4, *asked], side=1.5,
              alt="Eight pictures of 128 by 128 pixels, of four sentences. Before training on the "
                  "edges have steps; after it they are smooth.",
              title="128 × 128 pixels: only grown, and trained on")
print(f"{facts['painter']['steps']:,} steps at 64 pixels, then "
      f"{facts['painter128']['steps']:,} at 128. Up to 100 tries:")
print(f"{'':<18}single   two  count color place binding  all")
for name in ("painter", "painter128"):
    print(f"{name:<18}" + "".join(f"{kept[name]['shares'][c]:6.2f}" for c in world.CATEGORIES))

# %% [markdown] slideshow={"slide_type": "fragment"}
# The blocks had learned the hard part, and it did not depend on pixels. Large systems do the same: they learn at small pictures first, and grow at the end of their training (PixArt, Stable Diffusion 3). At 1,024 pixels one must choose: patches of 8 × 8 are 16,384 tokens, and 64 patches hold 49,152 numbers each. Most models choose a third way, another space:

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Latent space: paint small, decode large
# Our painter works on pixels. Stable Diffusion (Rombach and others 2022) first trains an **autoencoder**, and paints in its latents: here 64 × 64 × 3 numbers become 16 × 16 × 4. It is a **variational** one (VAE; Kingma and Welling 2014): its encoder gives a mean and a spread for each number, noise of that spread is added, and a small penalty keeps all near a standard normal.
#
# The painter's noise has standard deviation 1; latents have any. So they are multiplied by the **scale factor**, 1 / their standard deviation (SD 1: 0.18215), and divided by it before decoding.

# %% include="mmcourse/models/vae.py::VAE"

# %% slideshow={"slide_type": "subslide"} tags=["nbval-ignore-output"]
from mmcourse.models.vae import VAE, scale_factor, vae_loss

torch.manual_seed(0)
coder = VAE()
fit(coder, lambda step: pictures([world.sample(8 * step + k) for k in range(8)]),
    vae_loss, 150, lr=6e-3, warmup=20)
some = pictures([world.sample(2**31 + i) for i in range(50)]).to(device())
with torch.no_grad():
    back = coder.decode(coder.encode(some)[0])
error = (back - some).square().mean().sqrt().item()
print(f"150 steps: error {error:.3f}, scale factor {scale_factor(coder, some):.3f}")
long = kept["vae"]
print(f"longer:    error {long['rmse']:.3f}, scale factor {long['scale']:.3f}, "
      f"scenes still read right: {long['read']:.0%}")
show.pictures(light(images(torch.cat([some[:3], back[:3]]))), ["in"] * 3 + ["out, 150 steps"] * 3,
              columns=6, side=0.9, alt="Three scenes, and beside what the young autoencoder gives back.",
              title="What goes in, and what comes back")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Two lessons. What the decoder cannot give back, no painter can draw: the reading rate above is a **ceiling** for everything behind it. And forgetting the scale changes every noise level: latents four times too wide at t = 0.5 look like t = 0.2, so the painter hears less noise than it was told. At 64 pixels, pixels are cheap enough; at 1024 they are not.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same as the library
# `save_for_diffusers` writes a folder with a `SiglipTextModel` (CLIP's without its causal mask), a `PixArtTransformer2DModel`, a tokenizer, a `FlowMatchEulerDiscreteScheduler` and a `pipeline.py` of 40 lines. diffusers opens it offline. It asks for `trust_remote_code=True`, since the folder brings code: read it first, as with every folder you get.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
import tempfile

import diffusers
import transformers
from diffusers import DiffusionPipeline

from mmcourse.models.text2image import save_for_diffusers

for library in (diffusers, transformers):
    library.utils.logging.disable_progress_bar()
diffusers.utils.logging.set_verbosity_error()
with tempfile.TemporaryDirectory() as folder:
    save_for_diffusers(artist.cpu(), folder)
    pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
pipe.set_progress_bar_config(disable=True)
seeds = [torch.Generator().manual_seed(k) for k in range(2)]
theirs, ours = pipe(asked[:2], generator=seeds), artist.draw(asked[:2], tries=1)
gap = max(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() for a, b in zip(theirs, ours))
print("largest difference of the pictures:", gap, "of 255")
assert gap <= 1
artist = artist.to(device())

# %% [markdown] slideshow={"slide_type": "fragment"}
# `draw` is faster with the same weights, because it computes once what stays the same: what cross-attention asks of the words is the same at every step (`remember`), the time is the same for all pictures, and both halves of guidance share all work up to the first word (`foresee`). `mmcourse bench generation` measures it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: say something
# Type a sentence and watch it form. Beside it, the oracle's verdict, word by word. Try what no sentence of the training had: five things, or two relations. A word that the painter never met gets an answer in words, and no picture.

# %% tags=["hide-input"]
def in_order(said):
    """The words of a set as one says them: size, color, shape."""
    return [word for part in ("sizes", "colors", "shapes") for word in getattr(STANDARD, part)
            if word in said]


def verdict(sentence, picture):
    """A line for each thing that the sentence names: which words came true?"""
    scene, lines = world.read(picture), []
    there = [{thing.size, thing.color, thing.shape} for thing in scene]
    for things in metrics.named(sentence):
        wanted = [metrics.described(thing)[0] for thing in things]
        found = dict(metrics.matched(wanted, there))
        for i, thing in enumerate(things):
            marks = [(word, i in found and word in there[found[i]])
                     for word in in_order(wanted[i])]
            for how, other in metrics.described(thing)[1]:
                name = " ".join(in_order(metrics.described(other)[0]))
                marks.append((f"{how} {name}", metrics.holds(scene, ("exist", thing))))
            lines.append("   ".join(word if good else f"[{word}: no]" for word, good in marks))
    return [*lines, f"all true: {'yes' if world.satisfies(scene, sentence) else 'no'}"]

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def explore(sentence="a large red star left of a small blue square", seed=1, guidance=1.0):
    """Four moments of a drawing, and the verdict on the picture."""
    seen = []
    try:
        artist.draw(sentence, seed, steps=1, guidance=guidance, tries=1)
        noise = artist.noise([torch.Generator().manual_seed(seed)])
        x = artist.sample(noise, [sentence], 12, guidance,
                          watch=lambda t, x, foreseen: seen.append((t, foreseen)))
        lines = verdict(sentence, images(x)[0])
    except ValueError as error:
        seen, lines = [], show.wrapped(str(error), 40).split("\n")
    fig, axes = plt.subplots(1, 5, figsize=(8.4, 1.9), width_ratios=(1, 1, 1, 1, 2))
    for ax in axes:
        ax.axis("off")
    for ax, k in zip(axes, (1, 5, 9, 11) if seen else ()):
        show.panel(ax, light(images(seen[k][1]))[0], f"t = {seen[k][0]:.2f}")
    axes[-1].text(0, 0.95, "\n".join(lines), va="top", fontsize=9)
    return fig, f"The drawing of {sentence!r} at four moments. " + "; ".join(lines)


widgets.explorer(explore, sentence="three yellow circles", seed=(0, 50, 1),
                 guidance=(0.0, 10.0, 0.5))

# %% [markdown] slideshow={"slide_type": "notes"}
# Live: let the room give sentences. Find one that fails, then change the seed: does it fail always, or by bad luck? Then guidance 0: it still draws well and listens no more. Then type "a red zebra".

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - A text encoder gives a vector for each word; cross-attention lets each patch ask them. What words can say of places is learned fastest from sentences.
# - Drop sentences in training, then guide: without + w (with − without). Obedience for variety.
# - The same model edits, fills in, and avoids; only the walk changes.
# - In print, count, position and binding are the hard columns.
# - A painter that learns from marks on its own pictures listens better; watch what it pays.
# - FID never reads the sentence. Judge facts, then look for copies.

# %% [markdown] template="words"

# %% [markdown]
# ## Exercises
# Six of them, about 90 minutes: `exercises/34_text2image.ipynb`, which `mmcourse lab` copies to `my_work/`. You will write cross-attention with a padding mask and one step of inpainting; hunt three bugs in a sampler and three in a training batch; and plan eight steps that beat the plain walk.

# %% [markdown]
# ## Sources
# - J. Ho and T. Salimans (2022), *Classifier-free diffusion guidance*.
# - W. Peebles and S. Xie (2023), *Scalable diffusion models with transformers*; J. Chen and others (2024), *PixArt-alpha*; P. Esser and others (2024), *Scaling rectified flow transformers* (SD3).
# - R. Rombach and others (2022), *High-resolution image synthesis with latent diffusion models*; D. Kingma and M. Welling (2014), *Auto-encoding variational Bayes*.
# - S. Yu and others (2025), *Representation alignment for generation* (REPA).
# - Y. Li and others (2023), *GLIGEN*; Z. Wang and others (2024), *TokenCompose*: painters that are taught places.

# %% [markdown]
# And on learning from marks, editing and judging:
#
# - R. Williams (1992): REINFORCE; J. Liu and others (2025), *Flow-GRPO*; K. Zheng and others (2025), *DiffusionNFT*.
# - C. Meng and others (2022), *SDEdit*; A. Lugmayr and others (2022), *RePaint*.
# - A. Hertz and others (2023), *Prompt-to-prompt*; R. Tang and others (2023), *What the DAAM*.
# - D. Ghosh and others (2023), *GenEval*; M. Heusel and others (2017): FID; M. Binkowski and others (2018): KID.
# - N. Carlini and others (2023), *Extracting training data from diffusion models*.
