# ---
# title: Vision transformer
# question: A Transformer reads a list of words. Which list is a picture?
# minutes: 85
# level: intermediate
# objectives:
#   - cut pictures into patches, and prove that no patch holds its neighbor's pixels
#   - build a Vision Transformer that is equal to the library's
#   - measure how many pictures a CNN and a ViT need, and say why they differ
#   - read shape, color, size and place of every thing from frozen features
#   - see positions and attention distance in a trained model
# prerequisites: [11, 12]
# device: Two CPU cores are enough; a GPU trains longer.
# words:
#   patch: 图像块
#   token: 词元
#   class token: 分类词元
#   position embedding: 位置嵌入
#   convolution: 卷积
#   receptive field: 感受野
#   inductive bias: 归纳偏置
#   linear probe: 线性探针
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What are the words of a picture?
# A Transformer reads a list of vectors. A sentence gives it one for each word. A picture of 64 × 64 pixels is no list. It is 4,096 pixels with three numbers each.
#
# The plainest idea: every **pixel** is a word. Lesson 11 told you the price: each word meets each other word. Let us compute it before we try it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import budget, device, show, widgets, world, zoo
from mmcourse.models.transformer import Encoder
from mmcourse.recipes.vision import GRID, STANDARD, cover, data, linear, pictures
from mmcourse.training import fit

# %% slideshow={"slide_type": "-"}
heads, blocks, batch_size, number = 4, 4, 32, 4          # a float has 4 bytes
print("one word is       words    pairs        attention weights of one step")
for name, side in (("a pixel", 1), ("4 x 4 pixels", 4), ("8 x 8 pixels", 8)):
    words = (64 // side) ** 2
    size = words ** 2 * heads * blocks * batch_size * number
    print(f"{name:<15} {words:7,} {words ** 2:12,} {size / 1e9:12.3f} GB")

# %% [markdown] slideshow={"slide_type": "fragment"}
# 34 GB for a small picture and a small model. So a word has to be more than a pixel. The idea of the **Vision Transformer** (ViT, Dosovitskiy and others 2021): cut the picture into squares, the **patches**. Each patch is a word. Nothing else changes.

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
scene = world.sample(seed=20)
image = np.asarray(scene.image(64))
tiles = image.reshape(8, 8, 8, 8, 3).swapaxes(1, 2)                  # (8, 8, 8, 8, 3)


def spread(tiles, gap=2):
    """Tiles (rows, columns, h, w, 3) with gray gaps between them, as one picture."""
    rows, columns, h, w, _ = tiles.shape
    wide = np.full((rows, columns, h + gap, w + gap, 3), 200, np.uint8)
    wide[:, :, :h, :w] = tiles
    return wide.swapaxes(1, 2).reshape(rows * (h + gap), columns * (w + gap), 3)


fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), width_ratios=(1, 1, 2))
sentence = spread(tiles.reshape(4, 16, 8, 8, 3), gap=4)
for ax, (name, picture) in zip(axes, {"a picture": scene.image(256),
                                      "cut into 64 patches": spread(tiles),
                                      "64 words in reading order": sentence}.items()):
    show.panel(ax, picture, name)
show.figure(fig, alt="Left a picture of shapes, in the middle the same picture cut into"
                     " eight by eight squares, right the squares laid out one after the"
                     " other in four lines, like text.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask the room to read the right panel. Could you still say what is in the picture? What did the cutting lose? (Nothing but the places: which square lay above which. Hold on to that answer, it comes back as the position embedding.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## By hand: four patches
# A picture of 4 × 4 pixels in one color, its pixels numbered from 0 to 15. Cut it into patches of 2 × 2, in reading order. Each patch becomes a row of four numbers.
#
# Predict on paper: which four pixels are in patch 1, the second one?
#
# <details><summary>Answer</summary>
#
# Pixels 2, 3, 6 and 7: the right half of the two upper rows. The pixels of a patch are **not** neighbors in memory: between 3 and 6 lie 4 and 5, which belong to patch 0.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
small = torch.arange(16).view(4, 4)
patches = [small[row:row + 2, column:column + 2].flatten().tolist()
           for row in (0, 2) for column in (0, 2)]
print(small.tolist())
for number, patch in enumerate(patches):
    print("patch", number, "is", patch)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The same without loops
# Split the height into (rows, size) and the width into (columns, size): a picture gets six axes. Bring rows and columns to the front, then join what belongs together.

# %% include="mmcourse/models/vit.py::patchify" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"}
from mmcourse.models.vit import patchify

print(patchify(small.view(1, 1, 4, 4), 2)[0].tolist())
print("64 x 64 pictures:", tuple(patchify(torch.zeros(5, 3, 64, 64), 8).shape))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Break it on purpose
# The `permute` looks like a detail. Without it, `reshape` alone gives **the same shape**: 64 rows of 192 numbers. Training runs, and the loss falls, only far less. What is in those rows?

# %% slideshow={"slide_type": "-"}
def patchify_broken(images, size):
    batch, channels, height, width = images.shape
    return images.reshape(batch, (height // size) * (width // size), -1)


paper = pictures([scene])                                            # (1, 3, 64, 64)
print("same shape:", patchify(paper, 8).shape == patchify_broken(paper, 8).shape)

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
def origin(cut, token=28):
    """Where in the picture the numbers of a token come from: (3, 64, 64) of 0 and 1."""
    marks = torch.zeros(1, 3, 64, 64, requires_grad=True)
    cut(marks, 8)[0, token].sum().backward()
    return marks.grad[0]


fig, axes = plt.subplots(1, 4, figsize=(10, 2.8))
views = [("patchify, all colors", origin(patchify).amax(0))]
views += [(f"broken, {color} part", part)
          for color, part in zip(("red", "green", "blue"), origin(patchify_broken))]
for ax, (title, place) in zip(axes, views):
    show.look(ax, scene.image(256), place, title)
show.figure(fig, alt="Where the numbers of token 28 come from, as light on the picture."
                     " With patchify: one square. Broken: nothing from the red and the "
                     "blue part of the picture, three full rows of pixels from its "
                     "green part.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# Nearly every broken token holds three whole rows of pixels from **one** color channel. By itself it cannot even know what color a thing has.
#
# **The invariant that catches it:** paint one patch of the picture. One token may change, and it must be the one of that place.

# %% slideshow={"slide_type": "-"}
def tokens_that_change(cut, row, column):
    painted = paper.clone()
    painted[:, :, row * 8:row * 8 + 8, column * 8:column * 8 + 8] += 1
    return (cut(painted, 8) != cut(paper, 8)).any(-1)[0].nonzero()[:, 0].tolist()


print("painted: row 3, column 4, so token", 3 * 8 + 4)
print("patchify:", tokens_that_change(patchify, 3, 4))
print("broken:  ", len(tokens_that_change(patchify_broken, 3, 4)), "tokens change")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## From patch to token: one linear layer
# A patch is 8 · 8 · 3 = 192 numbers. One linear layer, the same for all patches, makes a token of width D of it. Such a layer has another name: it is a **convolution** whose window is one patch wide and moves by one patch. Libraries write it that way; the numbers are the same.

# %% slideshow={"slide_type": "-"}
torch.manual_seed(0)
layer = nn.Linear(192, 16)
tokens = layer(patchify(paper, 8))                                   # (1, 64, 16)
kernel = layer.weight.view(16, 3, 8, 8)
grid = F.conv2d(paper, kernel, layer.bias, stride=8)                 # (1, 16, 8, 8)
same = torch.allclose(tokens, grid.flatten(2).transpose(1, 2), atol=1e-5)
print("linear layer on patches:", tuple(tokens.shape))
print("convolution, stride 8:  ", tuple(grid.shape), "the same numbers:", same)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The older way: convolutions
# A **convolutional network** (CNN, LeCun and others 1989) looks through small windows, 3 × 3 say, that slide over the picture. Layer by layer a cell sees a wider piece of it: its **receptive field**.
#
# A ViT cell sees the whole picture after **one** block. We can measure both: which pixels move the middle cell?

# %% tags=["hide-input"]
from mmcourse.models.vit import VisionTransformer


def seen_by_middle(model):
    """How much each pixel moves the middle cell of (1, D, 8, 8): (64, 64), largest 1."""
    pixels = torch.randn(1, 3, 64, 64, requires_grad=True)
    model(pixels)[0, :, 4, 4].square().sum().backward()
    moves = pixels.grad[0].abs().sum(0)
    return (moves / moves.max()) ** 0.25                 # so that faint traces show


def cnn(layers):
    """`layers` convolutions, three of them halving the picture, the rest beside them."""
    strides = {1: [8], 2: [4, 2], 3: [2, 2, 2], 5: [2, 2, 2, 1, 1]}[layers]
    parts = [(nn.Conv2d(3 if i == 0 else 16, 16, 3, stride, 1), nn.ReLU())
             for i, stride in enumerate(strides)]
    return nn.Sequential(*(part for pair in parts for part in pair))


# %% slideshow={"slide_type": "-"} tags=["hide-input"]
torch.manual_seed(0)
vit = VisionTransformer(64, 8, d_model=32, num_heads=4, num_layers=1)
views = {"CNN, 3 layers": cnn(3), "CNN, 5 layers": cnn(5),
         "ViT, patch embedding": lambda x: F.conv2d(x, kernel, stride=8),
         "ViT, 1 block": lambda x: vit(x)[:, 1:].transpose(1, 2).unflatten(2, (8, 8))}
fig, axes = plt.subplots(1, 4, figsize=(10, 2.8))
for ax, (name, model) in zip(axes, views.items()):
    show.panel(ax, seen_by_middle(model).numpy(), name, cmap="Blues")
fig.suptitle("Which pixels move the middle cell?", x=0.01, ha="left", fontsize=12)
show.figure(fig, alt="Four maps of the pixels that move the middle cell. CNN: a small "
                     "square after three layers, a larger one after five. ViT: exactly "
                     "one patch before the blocks, the whole picture after one block.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## What a CNN knows before it has seen anything
# Two things are built into a convolution:
#
# - **near things belong together**: a cell looks at its neighbors first;
# - **a thing is the same thing everywhere**: the same window slides over all places. Shift the picture, and the features shift along.
#
# Such knowledge, put in before any training, is called **inductive bias**. Does a ViT have it? Shift the picture by one patch and see.

# %% slideshow={"slide_type": "fragment"} tags=["hide-input"]
def shifts_along(model):
    """Do the middle features of a shifted picture equal the shifted features?"""
    moved = torch.full_like(paper, 1.0)
    moved[..., 8:] = paper[..., :-8]                         # one patch to the right
    with torch.no_grad():
        before, after = model(paper), model(moved)
    return torch.allclose(before[..., 3:5, 3], after[..., 3:5, 4], atol=1e-5)


for name, model in views.items():
    print(f"{name:<21} features shift along: {shifts_along(model)}")

# %% [markdown] slideshow={"slide_type": "notes"}
# The patch embedding alone is a convolution, so it shifts along. (All of these only by whole cells, 8 pixels here, because they move in steps of 8.) The positions break it: they are added to the tokens, and a token's answer now depends on where it stands. A ViT has to learn that a circle on the left is a circle on the right.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Places must be told
# Lesson 11 showed that attention does not know order. For a picture this means: cut it up, throw the pieces into a bag, and the model sees **the same picture**. So each place gets a vector of its own that is added to its token: the **position embedding**. It is learned, like all else.
#
# Predict: in a model without it, do the tokens change when patches are shuffled?

# %% slideshow={"slide_type": "fragment"}
torch.manual_seed(1)
shuffle = torch.randperm(64)
inner = vit.patch(patchify(paper, 8))                    # (1, 64, 32), no positions yet
with torch.no_grad():
    bag = vit.encoder(inner), vit.encoder(inner[:, shuffle])
    place = vit.position[1:]
    told = vit.encoder(inner + place), vit.encoder(inner[:, shuffle] + place)
for name, (one, other) in (("without positions", bag), ("with positions   ", told)):
    print(name, "the same tokens, shuffled:",
          torch.allclose(one[:, shuffle], other, atol=1e-5))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One vector for the whole picture
# To name a picture you need one vector, not 64. Two ways:
#
# - **class token**: a 65th token that belongs to no patch. It starts as a learned vector, and attention lets it gather what it needs. ViT, CLIP and BERT do this.
# - **pooling**: the mean of all patch tokens. Simpler; every place then has the same say.
#
# Both work. The price of the first is a trap: the output has **1 + N** tokens, and the first has no place.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The whole model
# Patches, a linear layer, the class token in front, positions added, then lesson 12's encoder as it stands. After the first line of `forward`, nothing in it is about pictures.

# %% include="mmcourse/models/vit.py::VisionTransformer" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"}
model = VisionTransformer(64, 8, d_model=128, num_heads=4, num_layers=4)
print("tokens:", tuple(model(pictures([scene, scene])).shape))
for name, part in (("patch embedding", [model.patch.weight, model.patch.bias]),
                   ("positions", [model.position]), ("class token", [model.class_token]),
                   ("encoder", list(model.encoder.parameters()))):
    print(f"{name:<16}{sum(p.numel() for p in part):8,} parameters")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same as the library
# Our weights, under the names that `transformers` uses, in its `ViTModel`; and with one more norm at the start in `CLIPVisionModel`, the eye of CLIP and of LLaVA. Three differences to mind: its patch layer is a convolution; CLIP's has no bias (`to_transformers` adds ours to the positions); and OpenAI's weights use another GELU, so we set `hidden_act`.

# %% slideshow={"slide_type": "-"}
from transformers import CLIPVisionConfig, CLIPVisionModel, ViTConfig, ViTModel

from mmcourse.models.vit import to_transformers

torch.manual_seed(2)
sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=64,
             intermediate_size=128, patch_size=8, layer_norm_eps=1e-5, hidden_act="gelu")
ours = VisionTransformer(64, 8, 32, 4, 2)
theirs = ViTModel(ViTConfig(**sizes), add_pooling_layer=False).eval()
theirs.load_state_dict(to_transformers(ours))
eye = VisionTransformer(64, 8, 32, 4, 2, pre_norm=True)
clip = CLIPVisionModel(CLIPVisionConfig(**sizes)).eval()
clip.load_state_dict(to_transformers(eye))

# %% slideshow={"slide_type": "fragment"}
with torch.no_grad():
    pairs = {"ViTModel, all tokens": (ours(paper), theirs(paper).last_hidden_state),
             "CLIPVisionModel, class token": (eye(paper)[:, 0],
                                              clip(paper).pooler_output)}
for name, (a, b) in pairs.items():
    print(f"{name:<29} less than 1e-5 apart: {(a - b).abs().max().item() < 1e-5}")

# %% [markdown] slideshow={"slide_type": "notes"}
# The tests of the course do the same over many random sizes, losses and gradients included, and open the trained weights of the shipped encoder in ViTModel.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How many pictures does it need?
# Is inductive bias worth anything? Measure it. The task: one large thing in a picture of 32 × 32 pixels; name its **shape**. Both models take the mean of their cells; the ViT has twice the parameters.
#
# They train on 200, on 1,000 or on 5,000 pictures, **with the same number of steps**, until they know their own pictures by heart. What is left is how well they do on others. Predict: who needs more?

# %%
lone = world.Spec(objects=(1, 1), sizes=("large",))


def lone_things(seeds):
    """Pictures of one thing (B, 3, 32, 32) and the number of its shape (B,)."""
    scenes = [world.sample(seed, lone) for seed in seeds]
    images = torch.from_numpy(world.draw(scenes, 32)).permute(0, 3, 1, 2) / 127.5 - 1
    return images, torch.tensor([lone.shapes.index(scene[0].shape) for scene in scenes])


class TokensToShape(nn.Module):
    def __init__(self):
        super().__init__()
        self.vit, self.shape = VisionTransformer(32, 8, 48, 4, 2), nn.Linear(48, 4)

    def forward(self, images):
        return self.shape(self.vit(images)[:, 1:].mean(1))


def convolutions():
    parts = [layer for a, b in ((3, 24), (24, 48), (48, 48)) for layer in
             (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU())]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 4))

# %% tags=["hide-input"]
for name, build in (("CNN", convolutions), ("ViT", TokensToShape)):
    print(name, f"{sum(p.numel() for p in build().parameters()):,} parameters")

# %% [markdown]
# The ViT's blocks train with Muon (Jordan and others 2024), an optimizer for weight matrices, which here learns in fewer steps than AdamW. This favors the ViT: the comparison should not be lost for want of a good optimizer. The CNN has no such blocks and trains with AdamW; its `BatchNorm2d` scales every feature over the batch, which makes it quick, and `AdaptiveAvgPool2d(1)` is the mean of its cells.

# %% tags=["nbval-ignore-output"]
steps = {"cpu": 400, "gpu": 2000}[budget()]
counts, seeds = [200, 1000, 5000], range(2)
everything, exam = lone_things(range(5000)), lone_things(range(2**31, 2**31 + 1000))


def study(build, count, seed):
    """Train on the first `count` pictures: shares right of these and of the exam."""
    def batch(step):
        pick = torch.randint(count, (48,), generator=torch.Generator().manual_seed(step))
        return everything[0][pick], everything[1][pick]
    torch.manual_seed(seed)
    model = build()
    fit(model, batch, lambda m, d: F.cross_entropy(m(d[0]), d[1]), steps, muon=0.02)
    own = [part[:count] for part in everything]
    with torch.no_grad():
        return [(model(images.to(device())).argmax(-1).cpu() == shape).float().mean().item()
                for images, shape in (own, exam)]


results = {build: np.array([[study(build, count, seed) for count in counts]
                            for seed in seeds])                          # (2, 3, 2)
           for build in (convolutions, TokensToShape)}
known = min(runs[..., 0].min() for runs in results.values())
print(f"every model knows at least {known:.1%} of the pictures it learned from")
assert known > 0.97

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.4, 3.5))
for color, (build, name) in enumerate(((convolutions, "CNN"), (TokensToShape, "ViT"))):
    scores = results[build][..., 1]
    ax.plot(counts, scores.mean(0), color=show.CYCLE[color])
    ax.plot(counts, scores.T, "o", color=show.CYCLE[color], alpha=0.6)
    ax.annotate(name, (counts[-1], scores[:, 2].mean()), color=show.CYCLE[color],
                xytext=(8, -8 if color else 2), textcoords="offset points")
ax.axhline(0.25, color=show.QUIET, linewidth=1, linestyle=":")
ax.set(xscale="log", xticks=counts, xticklabels=[f"{n:,}" for n in counts],
       ylim=(0.2, 1.05), xlabel="pictures to learn from", ylabel="right on new pictures",
       title="The CNN needs fewer pictures (points: two starts each)")
ax.set_xlim(counts[0] * 0.85, counts[-1] * 1.35)
ax.minorticks_off()
show.figure(fig, alt="Share right against the number of training pictures, on a "
                     "logarithmic axis. Both rise; at 200 pictures the CNN is clearly "
                     "above the ViT, at 5,000 they meet.")
cnn, vit = (results[build][..., 1] for build in (convolutions, TokensToShape))
few, more, many = (cnn - vit).mean(0)
assert few > 0.03 and more > 0.02 and abs(many) < 0.05
assert cnn[:, 2].min() > 0.9 and vit[:, 2].mean() > vit[:, 0].mean() + 0.1

# %% [markdown] slideshow={"slide_type": "subslide"}
# Both know their own pictures. On others the CNN is ahead while pictures are few: it need not learn that a shape stays the same when it moves. The ViT has to see shapes in many places; with 5,000 pictures it has.
#
# Dosovitskiy and others (2021) report this at full size: trained on a million pictures their ViT is behind CNNs of its size, trained on hundreds of millions it is ahead. Same shape? **In part**: the gap at few pictures is ours too; being *ahead* is beyond this small budget. In our world pictures cost nothing, so we can afford the ViT.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## On the world: which thing is where?
# One shape for a whole picture is little to learn from. To be worth keeping, an encoder should know **every thing and its place**. So ask each patch: is a thing over you? Which shape, color and size has it, and where is its center?
#
# The world knows the truth. A patch belongs to the thing whose box covers most of it.

# %% include="mmcourse/recipes/vision.py::truth" slideshow={"slide_type": "subslide"}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
labels, places = truth([scene])
labels = labels.view(8, 8, 5)
paint = np.array([world.COLORS[color] for color in STANDARD.colors])
owned = np.where(labels[..., 1:2] > 0, paint[labels[..., 3]], 255).astype(np.uint8)
fig, axes = plt.subplots(1, 3, figsize=(9.4, 3.3))
show.panel(axes[0], scene.image(256), "the picture")
show.panel(axes[1], owned, "the thing over each patch: its color ...")
show.panel(axes[2], owned, "... its shape, and its center (dot)")
for row, column in labels[..., 1].nonzero().tolist():
    axes[2].text(column, row, STANDARD.shapes[labels[row, column, 2]][:2], ha="center",
                 va="center", fontsize=9, bbox=dict(color="white", pad=1))
for thing in scene:
    axes[2].plot(thing.x * 8 - 0.5, thing.y * 8 - 0.5, "o", color=show.INK, markersize=7,
                 markeredgecolor="white", zorder=5)
show.figure(fig, alt="Left a picture, in the middle its 64 patches painted with the "
                     "color of the thing over each, right the same with the first "
                     "letters of the shape and a dot at the center of each thing.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# **The loss** adds the parts: two yes-or-no questions and three choices for each patch, a distance for the place. The numbers in front give more weight to the center, the kinds and the place, whose losses are small. The class token gets a question of its own: *which of the 24 kinds are there: a red circle, a red square, ...?* The answers come from **linear** layers, so what they need must lie open in the tokens.

# %% include="mmcourse/recipes/vision.py::loss"

# %% [markdown] slideshow={"slide_type": "fragment"}
# `VisionEncoder` is our ViT with these linear layers behind it: `report` gives all their answers, `read` makes a scene of them. Train one for a moment, on fresh scenes in every step (`data` draws them). Which does it learn first: color, size or shape?

# %% tags=["nbval-ignore-output"]
from mmcourse.models.vit import VisionEncoder
from mmcourse.recipes.vision import loss


@torch.no_grad()
def right_answers(encoder, found):
    """How often the patches that hold a center are right about shape, color and size."""
    images, labels, places, there = found
    said, on = encoder.report(images.to(device())), labels[..., 0] > 0
    right = {part: said[part].cpu()[on].argmax(-1) == labels[on][:, number]
             for number, part in enumerate(("shape", "color", "size"), start=2)}
    return {part: hits.float().mean().item() for part, hits in right.items()}


new = data(range(2**31, 2**31 + 300))
torch.manual_seed(0)
beginner, stages, curve, pieces = VisionEncoder(), [], [], 4
steps = {"cpu": 30, "gpu": 400}[budget()]
for piece in range(pieces):
    def batch(step):
        start = (piece * steps + step) * 16
        return data(range(start, start + 16))
    curve += fit(beginner, batch, loss, steps, muon=0.02, warmup=10)
    stages.append(right_answers(beginner, new))

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.2))
axes[0].plot(curve, linewidth=1)
axes[0].set(xlabel="training step", ylabel="loss", title="The loss falls ...")
axes[0].set_ylim(0, None)
at = [(piece + 1) * steps for piece in range(pieces)]
for part, guess in (("color", 1 / 6), ("size", 1 / 2), ("shape", 1 / 4)):
    line = [stage[part] for stage in stages]
    axes[1].plot([0, *at], [guess, *line], marker="o")
    axes[1].annotate(part, (at[-1], line[-1]), xytext=(6, -4), textcoords="offset points")
axes[1].set(xlabel="training step", ylabel="right on new scenes", ylim=(0, 1.05),
            title="... color first, shape last")
axes[1].set_xlim(0, at[-1] * 1.15)
show.figure(fig, alt="Left the falling loss. Right the share of right answers on new "
                     "scenes: color reaches one almost at once, size rises slowly, "
                     "shape stays near guessing.")
assert stages[-1]["color"] > 0.9 and stages[-1]["color"] > stages[-1]["shape"]

# %% [markdown] slideshow={"slide_type": "subslide"}
# Color can be read from a single pixel. Size needs the whole thing, and shape its outline wherever it lies, often across four patches, which have to talk to each other. After these few steps shape has hardly begun.
#
# From here on we study the same model trained to the end on 128,000 scenes: `zoo.load("vision")`. `encoder(x)` gives the 64 patch tokens; `encoder.vit(x)` has the class token in front, too.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What do its features hold?
# A **linear probe** (Alain and Bengio 2016) asks what lies open in frozen features: fit *one linear layer* on them by least squares, nothing else, and test it on new scenes. A linear layer sees shapes badly by itself; if it finds them, the encoder has done the work. (Ours was trained to answer just these questions through linear layers: a check, not a discovery.)
#
# We probe the token of the patch in which a thing's center lies. Beside it: the raw pixels of that patch, and an untrained ViT.

# %%
encoder = zoo.load("vision")
names = {"shape": 2, "color": 3, "size": 4}


@torch.no_grad()
def probe(features):
    """Fit linear layers on 1,500 scenes; what they read from 500 new ones."""
    scores = {}
    (train, test), (marks, marks_new) = ([part[on] for part, on in zip(pair, centers)]
                                         for pair in (features, (taught[1], new[1])))
    for part, number in names.items():
        guess = linear(train, F.one_hot(marks[:, number]), test).argmax(-1)
        scores[part] = (guess == marks_new[:, number]).float().mean().item()
    where, where_new = taught[2][centers[0]], new[2][centers[1]]
    error = (linear(train, where, test) - where_new).abs()
    scores["place"] = (error < 1 / 32).all(-1).float().mean().item()
    return scores


taught, new = data(range(10**9, 10**9 + 1500)), data(range(2**31, 2**31 + 500))
centers = [found[1][..., 0] > 0 for found in (taught, new)]

# %% tags=["nbval-ignore-output"]
torch.manual_seed(3)


def tokens_of(model, found):
    with torch.no_grad():
        return torch.cat([model(part.to(device())).cpu() for part in found[0].split(100)])


both, untrained = (taught, new), VisionEncoder().to(device()).eval()
probes = {"pixels of the patch": probe([patchify(found[0], 8) for found in both]),
          "untrained ViT": probe([tokens_of(untrained, found) for found in both]),
          "zoo vision": probe([tokens_of(encoder, found) for found in both])}
assert min(probes["zoo vision"].values()) > 0.97

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.6, 2.6))
table = np.array([list(scores.values()) for scores in probes.values()])
show.matrix(ax, table * 100, rows=list(probes), columns=list(probes["zoo vision"]),
            title="Right on new scenes, by a linear layer", vmax=140, numbers=False)
for (row, column), value in np.ndenumerate(table):
    ax.text(column, row, f"{value:.1%}", ha="center", va="center", fontsize=10)
show.figure(fig, alt="A table of what a linear layer reads. From pixels: color mostly, "
                     "shape and size badly, place not. From an untrained ViT: more. "
                     "From the trained encoder: nearly everything.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# *Place* means: x and y both within 1/32 of the canvas, two pixels. The pixels of one patch cannot tell where it lies; that came from the positions (small noise before training), and the rest of the thing through attention. Questions like *left of* (lesson 31) will need it.
#
# The held-out scores that came with the weights, by the same probes on 1,000 scenes; *presence* is whether a center lies in a patch, *kinds* whether there is a red circle, and so on, from the class token:

# %% slideshow={"slide_type": "-"}
from mmcourse import recipes

facts = recipes.manifest()["vision"]
print(f"trained on {facts['steps'] * 32:,} scenes")
for part, score in facts["scores"].items():
    print(f"{part:<22}{score:.4f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Draw what it saw
# The encoder's own answers are enough to make a scene again: for each patch that says *a center is here*, one thing with the shape, color, size and place it names. Then the world draws it. Above the truth, below what came through 64 tokens.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
shown = [world.sample(2**31 + i) for i in (1, 5, 12, 17)]
read = encoder.read(pictures(shown).to(device()))
drawn = [scene.image(128) for scene in [*shown, *read]]
show.pictures(drawn, ["a new scene"] * 4 + ["what it read, drawn again"] * 4, columns=4,
              alt="Four new scenes and below each the scene drawn again from what the "
                  "encoder read. They look the same.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Where its world ends
# A scene counts as read if every shape, color and size is right, nothing missing and nothing invented. On new scenes like those of its training it makes hardly a mistake. So look for its mistakes where they are: in pictures unlike those it learned from. Predict: which change hurts most?

# %% tags=["hide-input"]
from collections import Counter
from dataclasses import replace

worlds = {"as in training": {}, "six things, not up to five": {"objects": (6, 6)},
          "camera noise": {"noise": 32.0}, "gray paper": {"background": "gray"},
          "striped things": {"textures": ("striped",)},
          "only outlines": {"textures": ("outlined",)}}


def looks(scene):
    return sorted((thing.size, thing.color, thing.shape) for thing in scene)


def read_in(changes, first=2**31, count=200):
    """Scenes of a changed world and what the encoder reads in their pictures."""
    scenes = [world.sample(seed, replace(STANDARD, **changes))
              for seed in range(first, first + count)]
    return scenes, [scene for part in pictures(scenes).split(100)
                    for scene in encoder.read(part.to(device()))]

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
found = {name: read_in(changes) for name, changes in worlds.items()}
share = {name: np.mean([looks(a) == looks(b) for a, b in zip(*both)])
         for name, both in found.items()}
fig, ax = plt.subplots(figsize=(6.6, 2.8))
ax.barh(list(share), share.values(), color=[show.CYCLE[0]] + [show.QUIET] * 5)
for row, value in enumerate(share.values()):
    ax.text(value + 0.01, row, f"{value:.0%}", va="center")
ax.invert_yaxis()
ax.set(xlim=(0, 1.1), xlabel="scenes read without a fault",
       title="New looks hurt; noise and a sixth thing hardly")
show.figure(fig, alt="Bars: the share of scenes read without a fault. Nearly all as in "
                     "training, with six things and with noise; fewer on gray paper; "
                     "few with striped or outlined things.")
assert share["as in training"] > 0.95 and share["striped things"] < 0.5

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
faults = [(scene, said) for name in ("gray paper", "striped things", "only outlines")
          for scene, said in [pair for pair in zip(*found[name])
                              if looks(pair[0]) != looks(pair[1])][:4]][:10]
fig, axes = plt.subplots(2, 5, figsize=(10.4, 5.3))
for ax, (scene, said) in zip(axes.flat, faults):
    extra, missed = (list((Counter(looks(a)) - Counter(looks(b))).elements())
                     for a, b in ((said, scene), (scene, said)))
    title = ("sees: " if extra else "misses: ") + " ".join((extra or missed)[0])
    show.panel(ax, scene.image(128), show.wrapped(title, 20))
fig.suptitle("Ten scenes that it reads wrongly, and one fault in each", x=0.01,
             ha="left", fontsize=12)
show.figure(fig, alt="Ten scenes on gray paper, with striped and with outlined things, "
                     "each with one thing that the encoder names and that is not there, "
                     "or that is there and that it misses.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A quiet trap: the range of the pixels
# The encoder was trained on pixels from −1 to 1. A picture in [0, 1] is as good a tensor, has the same shape, and is *wrong*. Predict: what happens to shape, color and size?

# %% slideshow={"slide_type": "fragment"} tags=["hide-input", "nbval-ignore-output"]
ranges = {"-1 to 1, as trained": new[0], "0 to 1": (new[0] + 1) / 2,
          "0 to 255": (new[0] + 1) * 127.5}
table = [list(right_answers(encoder, (images, *new[1:])).values())
         for images in ranges.values()]
fig, ax = plt.subplots(figsize=(5.6, 2.4))
show.matrix(ax, table, rows=list(ranges), columns=["shape", "color", "size"],
            title="A wrong range: no error, wrong answers", vmax=1.4)
show.figure(fig, alt="A table: with the right range nearly all answers are right; from "
                     "0 to 1 and from 0 to 255 many are wrong.")
assert table[0][0] > 0.97 and table[1][1] < 0.9

# %% [markdown] slideshow={"slide_type": "-"}
# From 0 to 1 is the dangerous case: most answers still look sensible. From 0 to 255 shape and size are guesses.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look inside: positions as pictures
# Position vectors start as noise. The loss asked every covered patch for the x and y of its thing, and this teaches where a patch lies. A ViT that only names pictures gets no such lesson, yet Dosovitskiy and others (2021) saw a similar pattern there. Compare a place's vector with all others by the cosine of their angle, and lay the 64 numbers out as a picture. One such picture for some places:

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def likeness(vit):
    place = F.normalize(vit.position[1:].detach().cpu(), dim=-1)
    return (place @ place.T).view(8, 8, 8, 8)


fig, axes = plt.subplots(4, 9, figsize=(9.6, 4.4), width_ratios=[1] * 4 + [0.5] + [1] * 4)
for start, model in ((0, untrained.vit), (5, encoder.vit)):
    maps = likeness(model)
    for i, j in np.ndindex(4, 4):
        axes[i, start + j].imshow(maps[2 * i, 2 * j], cmap="cividis", vmin=-0.5, vmax=1)
for ax in axes.flat:
    ax.axis("off")
fig.suptitle("Each place learned who its neighbors are (left untrained, right trained)",
             x=0.01, ha="left", fontsize=12)
show.figure(fig, alt="Two grids of small pictures, one for every second place. Before "
                     "training each shows a single bright cell in noise. After training"
                     " the bright cell lies in a bright cloud of its neighbors, and the"
                     " cloud moves with the place.")
assert likeness(encoder.vit)[3, 3, 3, 4] > likeness(encoder.vit)[3, 3, 7, 7] + 0.1

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look inside: how far do heads look?
# **Attention distance** (Dosovitskiy and others 2021): the mean distance between a patch and what it looks at, in pixels. A head that looks everywhere alike has 33 here; one that looks only at itself has 0. A convolution is local by its form. What did our ViT choose?

# %% include="mmcourse/models/vit.py::attention_distance" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
from mmcourse.models.vit import attention_maps

some = new[0][:100].to(device())
far = {name: attention_distance(attention_maps(model.vit, some).cpu(), 8)
       for name, model in (("untrained", untrained), ("trained", encoder))}
fig, ax = plt.subplots(figsize=(6.2, 3.3))
for color, (name, values) in zip((show.QUIET, show.ACCENT), far.items()):
    for layer, heads in enumerate(values, start=1):
        ax.plot([layer + (0.08 if name == "trained" else -0.08)] * len(heads), heads, "o",
                color=color, markersize=8, alpha=0.8)
    ax.annotate(name, (len(values) + 0.2, values[-1].mean()), color=color, fontsize=11)
ax.set(xticks=range(1, len(values) + 1), xlim=(0.6, len(values) + 1.1), ylim=(0, 38),
       xlabel="block", ylabel="pixels", title="Distance at which each head looks")
show.figure(fig, alt="Attention distance of each head in each block. Untrained heads "
                     "all lie near 33 pixels; trained heads spread, many of them far "
                     "below, local like a convolution.")
assert (far["untrained"] - 33).abs().max() < 2 and far["trained"][0].min() > 25
assert far["trained"][1:].min() < 10 and far["trained"][-1].max() < 30

# %% [markdown] slideshow={"slide_type": "subslide"}
# Untrained heads look everywhere alike. The first trained block still looks far (distance alone does not tell at what: mostly at empty paper). From the second on some heads **became local**. A likely reason: a thing lies across patches, and they must be joined. What a convolution has built in has been learned here, from data. In Dosovitskiy and others (2021) the first layers have both local and far-looking heads, and the distance grows with depth; our first block has no local head.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: where does a patch look?
# Choose a scene, a patch (row and column, marked by a frame) and a block. The light shows the patch's attention, mean over heads. Put the frame on a thing, on its edge, on empty paper. And ask the class token (`asks`): what does *it* look at?

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def explore(scene=5, asks="a patch", row=4, column=2, block=3):
    """One patch of one scene: where it looks, and what it says lies over it."""
    shown = world.sample(2**31 + scene)
    picture = pictures([shown]).to(device())
    token = 0 if asks == "the class token" else 1 + row * 8 + column
    maps = attention_maps(encoder.vit, picture)[block - 1, 0]               # (H, 65, 65)
    weights = maps[:, token, 1:].mean(0).cpu()
    with torch.no_grad():
        said = {part: value[0].cpu() for part, value in encoder.report(picture).items()}
    words = [STANDARD.words(part)[said[part][token - 1].argmax()]
             for part in ("size", "color", "shape")]
    over = " ".join(words) if said["covered"][token - 1] > 0 else "nothing over me"
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.3))
    show.panel(left, shown.image(256), "the scene")
    title = "class token looks at" if token == 0 else f"it says: {over}"
    show.look(right, shown.image(256), weights.view(8, 8), title)
    if token:
        for ax in (left, right):
            ax.add_patch(plt.Rectangle((column * 32 - 0.5, row * 32 - 0.5), 32, 32,
                                       fill=False, color=show.CYCLE[1], linewidth=2))
    return fig, f"Scene {scene}, block {block}: where {asks} looks. {title}."


widgets.explorer(explore, scene=(0, 40, 1), asks=["a patch", "the class token"],
                 row=(0, 7, 1), column=(0, 7, 1), block=(1, 4, 1))

# %% [markdown] slideshow={"slide_type": "notes"}
# Live: put the frame on the corner of a large thing, block 1, then 4. Block 1 looks far, mostly at empty paper. From block 2 on a patch on a thing gives much of its attention to other patches of the same thing; an empty one looks mostly at empty ones.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - A picture becomes a list by cutting it into patches; reshape **and** permute, or tokens hold strips.
# - The patch embedding is a linear layer, or a convolution with the stride of its window.
# - Positions must be told. The class token stands for no patch: 1 + N tokens come out.
# - A CNN knows beforehand that near things belong together and that things may move; a ViT learns it, and needs more pictures.
# - A dense task makes 64 tokens from which a linear layer reads every thing and its place. Later lessons start from them.

# %% [markdown] template="words"

# %% [markdown]
# ## Exercises
# Six of them, about 100 minutes: `exercises/14_vision_transformer.ipynb`, which `mmcourse lab` copies to `my_work/`. You will put patches together again, put a ViT's input together, make a model see larger pictures than it was trained on, hunt a bug in a feature grid, and teach the encoder something new from a few pictures.

# %% [markdown]
# ## Sources
# - Y. LeCun and others (1989), *Backpropagation applied to handwritten zip code recognition*: convolutions that learn.
# - A. Dosovitskiy and others (2021), *An image is worth 16x16 words*: the Vision Transformer, attention distance, data needed.
# - A. Radford and others (2021), *Learning transferable visual models from natural language supervision*: CLIP and its form of ViT.
# - G. Alain and Y. Bengio (2016), *Understanding intermediate layers using linear classifier probes*.
# - X. Zhou, D. Wang and P. Krähenbühl (2019), *Objects as points*: things found by their centers.
# - K. Jordan and others (2024), *Muon: an optimizer for hidden layers in neural networks*.
