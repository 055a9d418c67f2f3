# ---
# title: Modalities
# minutes: 85
# prerequisites: [1]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 01.

# %%
import torch

from mmcourse import show, world
from mmcourse.checks import check

# %% [markdown] task="01.1"
# ## 01.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil. Return a dict with these entries:
#
# | key | what it is |
# |---|---|
# | `red` | the byte 255 as a number from −1 to 1 |
# | `gray` | the byte 102 likewise |
# | `photo` | how many numbers a color picture of 224 × 224 holds |
# | `sound` | how many numbers two seconds at 16,000 a second are |
# | `film` | how many numbers a film (1, 8, 3, 64, 64) holds |
# | `shuffled` | are the rows of a point cloud in another order another cloud? `True` or `False` |

# %% answer="01.1"
def predictions():
    ### BEGIN SOLUTION
    return {"red": 1, "gray": -0.2, "photo": 150_528, "sound": 32_000, "film": 98_304, "shuffled": False}
    ### END SOLUTION

# %% check="01.1" points=2
check("01.1", predictions)

# %% [markdown] task="01.1"
# <details><summary>Hint</summary>
#
# The course maps a byte to byte / 127.5 − 1. The numbers in a tensor are the product of its shape.
#
# </details>

# %% [markdown] task="01.2"
# ## 01.2 Pictures to a tensor
# *2 points · 10 minutes · easy*
#
# `pixels` is a batch of pictures as bytes: uint8 (B, H, W, 3). Return what PyTorch's layers want: float32 (B, 3, H, W) from −1 to 1. Mind that there are four axes: the batch comes first.
#
# Example: one red pixel, `[[[[255, 0, 0]]]]`, becomes `[[[[1.]], [[-1.]], [[-1.]]]]`.

# %% answer="01.2"
def to_tensor(pixels):
    ### BEGIN SOLUTION
    return torch.einsum("bhwc->bchw", pixels.float()) / 127.5 - 1
    ### END SOLUTION

# %% check="01.2" points=2
check("01.2", to_tensor)

# %% [markdown] task="01.2"
# <details><summary>Hint 1</summary>
#
# Which axis of the input is the color, and where should it stand? `permute` takes the old places in the new order.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A byte times two is still a byte. Divide first, or call `.float()`.
#
# </details>

# %% [markdown] task="01.3"
# ## 01.3 Sentences to numbers
# *3 points · 15 minutes · medium*
#
# `sentences` is a list of texts, `vocabulary` a dict from word to number with `"<pad>": 0` and `"<unk>": 1`. Cut at the spaces. Return `ids`, int64 (B, T), where T is the length of the longest sentence and padding stands behind the words; and `mask`, boolean (B, T), True for real words. A word that is not in the vocabulary becomes `<unk>`, "unknown"; `Red` and `red,` are other words than `red`.

# %% [markdown] task="01.3"
# Example: with `{"<pad>": 0, "<unk>": 1, "red": 2}` the sentences `["red", "big red"]` give ids `[[2, 0], [1, 2]]` and mask `[[True, False], [True, True]]`.

# %% answer="01.3"
def encode(sentences, vocabulary):
    ### BEGIN SOLUTION
    lists = [torch.tensor([vocabulary.get(w, 1) for w in s.split()]) for s in sentences]
    table = torch.nn.utils.rnn.pad_sequence(lists, batch_first=True)
    sizes = torch.tensor([len(one) for one in lists])
    return table, torch.arange(table.shape[1]) < sizes[:, None]
    ### END SOLUTION

# %% check="01.3" points=3
check("01.3", encode)

# %% [markdown] task="01.3"
# <details><summary>Hint 1</summary>
#
# First make a list of numbers for each sentence. Then find the longest and add zeros to the others. `dict.get(word, other)` helps with unknown words.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `ids != 0` is a mask, and is right as long as no real word has the number 0.
#
# </details>

# %% [markdown] task="01.4"
# ## 01.4 Sound into frames
# *2 points · 10 minutes · medium*
#
# Cut a wave (samples,) into frames of `size` samples, each starting `hop` samples after the one before. Only frames that lie wholly inside the wave count. Return (frames, size). Try it without `unfold`: you learn more from your own indices.
#
# Example: wave 0 to 6, size 4, hop 2 gives `[[0, 1, 2, 3], [2, 3, 4, 5]]`.

# %% answer="01.4"
def frames(wave, size, hop):
    ### BEGIN SOLUTION
    begin = torch.arange(0, len(wave) - size + 1, hop)
    return wave[begin[:, None] + torch.arange(size)]
    ### END SOLUTION

# %% check="01.4" points=2
check("01.4", frames)

# %% [markdown] task="01.4"
# <details><summary>Hint 1</summary>
#
# The last frame may start at `len(wave) - size`, and not later. Does your range contain that number?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A list of slices and `torch.stack` is a good answer.
#
# </details>

# %% [markdown] task="01.5"
# ## 01.5 Find the bug
# *3 points · 15 minutes · medium*
#
# A film is bytes (T, H, W, 3). A model for video wants float32 (3, T, H, W) from −1 to 1: bytes 0 to 255 become −1 to 1. The function below gives the right shape. But **there and back** does not give the film again. Run it, look at what comes out, and find three mistakes: one in the order of the numbers, two in their values.

# %%
def film_to_tensor_broken(frames):
    """uint8 (T, H, W, 3) -> float (3, T, H, W) in [-1, 1]"""
    length, height, width, colors = frames.shape
    return ((frames - 128) / 128).reshape(colors, length, height, width)


scenes = [world.sample(seed) for seed in (217, 218, 219, 220)]
film = torch.from_numpy(world.draw(scenes, 64))                       # four scenes stand for a film
back = ((film_to_tensor_broken(film) + 1) * 127.5).permute(1, 2, 3, 0).round().to(torch.uint8)
show.pictures([*film[:2].numpy(), *back[:2].numpy()], ["frame 0", "frame 1", "there and back", "there and back"],
              alt="Two frames with shapes, and what the broken function makes of them: stripes and noise.")

# %% [markdown] task="01.5"
# Write the function as it should be.

# %% answer="01.5"
def film_to_tensor(frames):
    ### BEGIN SOLUTION
    small = frames.to(torch.float32) / 127.5 - 1
    return torch.movedim(small, -1, 0)
    ### END SOLUTION

# %% check="01.5" points=3
check("01.5", film_to_tensor)

# %% [markdown] task="01.5"
# <details><summary>Hint 1</summary>
#
# The shape is right, the content is not: which of the two classic ways to change a shape moves numbers along with their axis?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# What is `torch.tensor([100], dtype=torch.uint8) - 128`? Try it. And what should 255 become, and what does it become?
#
# </details>

# %% [markdown] task="01.6"
# ## 01.6 Open challenge: count from pixels
# *4 points · 25 minutes · hard*
#
# `pixels` is one picture of the standard world, a torch tensor, uint8 (64, 64, 3). Return how many things it shows (an `int`), from pixels alone, without learning and without `world.read`. Score: the share of 200 scenes you have not seen. **Target: 95%.**
#
# Start with a picture on paper: what makes two pixels part of the same thing?

# %% answer="01.6"
def count_things(pixels):
    ### BEGIN SOLUTION
    ink = (pixels.min(-1).values < 225).float()                    # 1 where there is no paper
    names = torch.arange(1.0, 4097).view(64, 64) * ink             # each such pixel its own number
    while True:                                                    # take the largest number nearby
        spread = torch.nn.functional.max_pool2d(names[None], 3, stride=1, padding=1)[0] * ink
        if spread.equal(names):
            return len(names.unique()) - 1                         # without the paper's 0
        names = spread
    ### END SOLUTION

# %% check="01.6" points=4 tags=["nbval-ignore-output"]
check("01.6", count_things)

# %% [markdown] task="01.6"
# <details><summary>Hint 1</summary>
#
# Paper is white: (255, 255, 255). Mark every pixel that is clearly something else. Things never touch.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Give every marked pixel its own number. How could all pixels of one thing come to agree on one of these numbers, if each may look only at its neighbors? (There is a layer that takes the largest number in a 3 × 3 window.)
#
# </details>
