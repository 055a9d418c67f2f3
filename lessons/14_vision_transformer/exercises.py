# ---
# title: Vision transformer
# minutes: 100
# prerequisites: [14]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 14.

# %%
import torch
import torch.nn.functional as F

from mmcourse import world, zoo
from mmcourse.checks import check
from mmcourse.recipes.vision import pictures

# %% [markdown] task="14.1"
# ## 14.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers and one True or False.

# %% [markdown] task="14.1"
# | key | what it is |
# |---|---|
# | `numbers` | how many numbers are in one color patch of 16 × 16 pixels? |
# | `patches` | 224 × 224 pixels, patches of 16 × 16: how many patches? |
# | `tokens` | how many tokens does a ViT with a class token give for it? |
# | `pairs` | patches of 8 × 8 in place of 16 × 16, no class token: how many times as many pairs does attention compare? |
# | `llava` | pictures of 336 × 336, patches of 14 × 14; a language model gets all tokens but the class token: how many? |
# | `bag` | a ViT without positions; patches are shuffled; does the class token change? |

# %% answer="14.1"
def predictions():
    ### BEGIN SOLUTION
    return {"numbers": 768, "patches": 14 ** 2, "tokens": 197, "pairs": 16, "llava": 24 ** 2, "bag": False}
    ### END SOLUTION

# %% check="14.1" points=2
check("14.1", predictions)

# %% [markdown] task="14.1"
# <details><summary>Hint 1</summary>
#
# A color picture has three numbers for each pixel. Count patches along one side first.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Half as wide means four times as many patches. Attention compares each with each.
#
# </details>

# %% [markdown] task="14.2"
# ## 14.2 Put the picture together again
# *3 points · 15 minutes · medium*
#
# The lesson cut pictures into patches. A model that *draws* (lesson 33) needs the way back.
#
# - `patches` (B, N, 3 · size · size), in reading order; in each patch first all red numbers, then green, then blue, each in reading order. `size`, `height` and `width` are whole numbers of pixels; the picture need not be square.
# - Return the pictures (B, 3, height, width).

# %% [markdown] task="14.2"
# Example in one color: the patches `[0, 1, 4, 5]`, `[2, 3, 6, 7]`, ... of size 2 become the rows `[0, 1, 2, 3]`, `[4, 5, 6, 7]`, ...

# %% answer="14.2"
def assemble(patches, size, height, width):
    ### BEGIN SOLUTION
    return F.fold(patches.mT, (height, width), kernel_size=size, stride=size)
    ### END SOLUTION

# %% check="14.2" points=3
check("14.2", assemble)

# %% [markdown] task="14.2"
# <details><summary>Hint 1</summary>
#
# Give every axis a name first: (B, rows, columns, 3, size, size). In which order do they stand in the picture?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# In the picture, a row of patches is followed by the rows *inside* of the patch, then by the columns. So the order is B, 3, rows, size, columns, size, and then two pairs are joined.
#
# </details>

# %% [markdown] task="14.3"
# ## 14.3 What enters the first block
# *4 points · 20 minutes · medium*
#
# Write the first lines of a ViT as a function of its weights.
#
# - `images` (B, 3, H, W); `kernel` (D, 3, p, p) and `bias` (D,), the patch embedding as a convolution; `class_token` (D,); `position` (1 + N, D).
# - Return (B, 1 + N, D): the class token first, then the patches in reading order, **each** with its position added. Pictures need not be square.

# %% answer="14.3"
def embed(images, kernel, bias, class_token, position):
    ### BEGIN SOLUTION
    cells = F.conv2d(images, kernel, bias, stride=kernel.shape[-1])
    rows = torch.einsum("bdhw->bhwd", cells).flatten(1, 2)
    return F.pad(rows, (0, 0, 1, 0)).index_put((torch.arange(len(rows)), torch.tensor(0)), class_token) + position
    ### END SOLUTION

# %% check="14.3" points=4
check("14.3", embed)

# %% [markdown] task="14.3"
# <details><summary>Hint 1</summary>
#
# `F.conv2d` with the right stride gives (B, D, rows, columns). The tokens should be (B, N, D).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `class_token.expand(B, 1, D)` makes one for each picture; `torch.cat` along the axis of the tokens puts it in front. The class token has a position too: the first.
#
# </details>

# %% [markdown] task="14.4"
# ## 14.4 A larger picture
# *3 points · 15 minutes · medium*
#
# A ViT was trained on pictures of 8 rows and columns of patches; now one has 12 of each. Stretch its 64 positions to 144: read them as a picture with D channels, and resize it.
#
# - `position` (1 + n · n, D), the class token's first; `side`, the new number of patches along a side, larger or smaller.
# - Return (1 + side · side, D). Use bilinear interpolation, the weighted mean of the four nearest, in which pixels are areas: `F.interpolate(..., mode="bilinear")`. The class token has no place: its vector stays as it is.

# %% answer="14.4"
def stretch(position, side):
    ### BEGIN SOLUTION
    n = round((len(position) - 1) ** 0.5)
    sheet = position[1:].T.unflatten(1, (n, n)).unsqueeze(0)
    larger = F.interpolate(sheet, size=side, mode="bilinear")
    return torch.vstack([position[:1], larger[0].flatten(1).T])
    ### END SOLUTION

# %% check="14.4" points=3
check("14.4", stretch)

# %% [markdown] task="14.4"
# <details><summary>Hint 1</summary>
#
# `F.interpolate` wants (B, channels, height, width). Your positions are (n · n, D): which axis comes first?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A `view` as (D, n, n) of a tensor (n · n, D) has the right shape and mixes places with channels. Turn it around first.
#
# </details>

# %% [markdown] task="14.5"
# ## 14.5 Find the bug
# *3 points · 15 minutes · medium*
#
# The function makes a picture of features, a **feature grid**, from a ViT's tokens. It runs, the shape is right. But an invariant is broken: mark the token of one patch, and the mark must appear at that patch's row and column, nowhere else. Run it and see.

# %%
def feature_grid_broken(tokens):
    """tokens (B, 1 + N, D), class token first -> features (B, D, side, side)"""
    patches = tokens[:, :-1]                                # one token is no patch: away with it
    batch, count, width = patches.shape
    side = round(count ** 0.5)
    return patches.reshape(batch, width, side, side)


tokens = torch.zeros(1, 1 + 16, 3)
tokens[0, 1 + 2 * 4 + 3] = torch.tensor([5.0, 6.0, 7.0])               # the patch in row 2, column 3
grid = feature_grid_broken(tokens)
print("the mark is at", grid.abs().sum((0, 1)).nonzero().tolist(), "and should be at [[2, 3]]")
print("its values are", grid[0, :, 2, 3].tolist(), "and should be [5.0, 6.0, 7.0]")

# %% [markdown] task="14.5"
# Write the function as it should be. There are two mistakes.

# %% answer="14.5"
def feature_grid(tokens):
    ### BEGIN SOLUTION
    side = int((tokens.shape[1] - 1) ** 0.5 + 0.5)
    return tokens[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    ### END SOLUTION

# %% check="14.5" points=3
check("14.5", feature_grid)

# %% [markdown] task="14.5"
# <details><summary>Hint 1</summary>
#
# Which of the 1 + N tokens is no patch?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# In memory, the D numbers of one token lie side by side. A `reshape` to (D, side, side) hands them out to D different cells.
#
# </details>

# %% [markdown] task="14.6"
# ## 14.6 Open challenge: four shapes it never saw
# *4 points · 25 minutes · medium*
#
# The shipped encoder has seen circles, squares, triangles and stars. The world also has crosses, diamonds, hearts and crowns. Teach it these from 180 examples, with the encoder frozen.
#
# - `tokens` (180, 128), each of the patch that holds a thing's center; `labels` (180,), whole numbers from 0 to 3; `new` (M, 128), tokens of other pictures.
# - Return your guesses for them: (M,) whole numbers.

# %% [markdown] task="14.6"
# - Score: the share of about 1,200 new things that you name rightly, the mean of four draws of 180 examples. Chance is 25%. **Target: 77%.**
#
# Below are examples to try it on. The nearest neighbor reaches about 60%. Plain least squares does better and still falls short: count its unknowns.

# %% tags=["nbval-ignore-output"]
def examples(seeds):
    """Tokens at the centers of unknown things, and the numbers of their shapes."""
    spec = world.Spec(objects=(2, 4), shapes=world.SHAPES[4:])
    scenes = [world.sample(seed, spec) for seed in seeds]
    with torch.no_grad():
        tokens = zoo.load("vision").cpu()(pictures(scenes))
    found = [(grid[int(thing.y * 8) * 8 + int(thing.x * 8)], spec.shapes.index(thing.shape))
             for grid, scene in zip(tokens, scenes) for thing in scene]
    return torch.stack([token for token, _ in found]), torch.tensor([label for _, label in found])


tokens, labels = (part[:180] for part in examples(range(100)))
new, truth = examples(range(2**31, 2**31 + 100))
nearest = labels[torch.cdist(new, tokens).argmin(1)]
print(f"nearest neighbor: {(nearest == truth).float().mean():.0%}")

# %% answer="14.6"
def learn_shapes(tokens, labels, new):
    ### BEGIN SOLUTION
    mean = tokens.mean(0)
    known, asked = tokens - mean, new - mean
    wanted = F.one_hot(labels, 4) - 0.25
    rule = torch.linalg.solve(known.T @ known + torch.eye(128), known.T @ wanted.float())
    return (asked @ rule).argmax(1)
    ### END SOLUTION

# %% check="14.6" points=4 tags=["nbval-ignore-output"]
check("14.6", learn_shapes)

# %% [markdown] task="14.6"
# <details><summary>Hint 1</summary>
#
# A linear layer for four shapes has 129 unknowns for each, and you have 180 examples. Solved by least squares, it can fit nearly anything, chance included. What keeps weights small?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Ridge regression solves (XᵀX + λ I) W = XᵀY. Or train `nn.Linear` by gradient with weight decay. Keep some of the 180 aside to choose the strength.
#
# </details>
