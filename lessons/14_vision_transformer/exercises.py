# ---
# title: Vision transformer
# minutes: 85
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
from mmcourse.recipes.vision import data, pictures

# %% [markdown] task="14.1"
# ## 14.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers and one True or False.

# %% [markdown] task="14.1"
# | key | what it is |
# |---|---|
# | `numbers` | how many numbers are in one patch of 16 × 16 pixels in color? |
# | `patches` | a picture of 224 × 224 pixels, cut into patches of 16 × 16: how many patches? |
# | `tokens` | how many tokens come out of a ViT with a class token for that picture? |
# | `pairs` | patches half as wide: how many times as many pairs of patches does attention compare? |
# | `llava` | a language model gets the patch tokens of a ViT for pictures of 336 × 336 with patches of 14 × 14, the class token left out: how many tokens must its text hold a place for? |
# | `bag` | a ViT without positions; the patches are shuffled; does its class token change? |

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
# A ViT was trained on 8 × 8 patches and now gets a picture of 12 × 12. It has 64 positions, and needs 144. Stretch them: read the 64 vectors as a picture with D channels, and resize that picture.
#
# - `position` (1 + n · n, D), the class token's first; `side`, the new number of patches along a side.
# - Return (1 + side · side, D). Use bilinear interpolation in which pixels are areas (`align_corners=False`, torch's default). The class token has no place: its vector stays as it is.

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
# Write the function as it should be. There are two mistakes. (LLaVA's users met the first one as *575 instead of 576 picture tokens*.)

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
# ## 14.6 Open challenge: find the same thing
# *4 points · 25 minutes · hard*
#
# You see one thing alone in a picture. Find a thing of the same shape, color and size in another picture, where it lies elsewhere among others. You get only tokens of `zoo.load("vision")`.
#
# - `query` (128,): the token of the patch that holds the lone thing's center. `cells` (64, 128): the tokens of the other picture. Return the number (an int) of a cell that the same thing covers.

# %% [markdown] task="14.6"
# - Score: the share of 200 unseen pairs in which your cell is covered by that thing. **Target: 90%.**
#
# The plain dot product fails: a token says *where* it is as loudly as *what* it is. You may train a linear map here, on scenes with seeds below 2**31: `data(range(n))` gives pictures, labels (B, 64, 5) and places; the labels are center, covered, shape, color, size.

# %% answer="14.6"
### BEGIN SOLUTION
with torch.no_grad():
    images, marks, _, _ = data(range(1000))
    known = torch.cat([zoo.load("vision").cpu()(part) for part in images.split(100)])
covered = marks[..., 1] > 0
looks = torch.cat([F.one_hot(marks[..., i][covered], n) for i, n in ((2, 4), (3, 6), (4, 2))], 1).float()
wanted = torch.zeros(*covered.shape, 12)
wanted[covered] = looks                                      # paper looks like nothing: all zeros
to_looks = torch.linalg.lstsq(F.pad(known.flatten(0, 1), (0, 1), value=1.0), wanted.flatten(0, 1)).solution
### END SOLUTION


def find_same(query, cells):
    ### BEGIN SOLUTION
    asked, there = (F.pad(x, (0, 1), value=1.0) @ to_looks for x in (query, cells))
    return int(((there - asked) ** 2).sum(-1).argmin())
    ### END SOLUTION

# %% check="14.6" points=4
check("14.6", find_same)

# %% [markdown] task="14.6"
# <details><summary>Hint 1</summary>
#
# This is attention with one query. What do the layers `query` and `key` do there, before the dot product?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Fit a linear map from a token to its looks (one-hot shape, color and size; zeros for paper) by least squares. In the space it maps to, places are gone, and the nearest cell is the one.
#
# </details>
