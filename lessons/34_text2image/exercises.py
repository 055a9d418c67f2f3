# ---
# title: Text to image
# minutes: 90
# prerequisites: [34]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lessons 33 and 34.

# %%
import torch

from mmcourse.checks import check

# %% [markdown] task="34.1"
# ## 34.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the seven entries of the table: numbers (to two decimals or better), and one True or False.

# %% [markdown] task="34.1"
# | key | what it is |
# |---|---|
# | `guided` | a pixel is 0.1 without words, 0.3 with; guidance weight 4 |
# | `looks` | forward passes, each of one picture, to draw 5 pictures in 20 steps with guidance 2 |
# | `scores` | numbers in one head's cross-attention: 64 patches, 12 words |
# | `noisy` | pixel 0.8, noise −0.4, t = 0.25: the noisy pixel on the straight line |
# | `scale` | latents have standard deviation 4: the scale factor |
# | `moved` | x = 0.6 at t = 0.5, the picture foreseen is 0.2: x at t = 0.25 |
# | `reads` | does FID see that a picture shows something else than its sentence? |

# %% answer="34.1"
def predictions():
    ### BEGIN SOLUTION
    return {"guided": 0.9, "looks": 200, "scores": 768, "noisy": 0.5, "scale": 0.25, "moved": 0.4, "reads": False}
    ### END SOLUTION

# %% check="34.1" points=2
check("34.1", predictions)

# %% [markdown] task="34.1"
# <details><summary>Hint 1</summary>
#
# Guidance: without + w · (with − without). It needs both answers at each step.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# On the straight line, x = (1 − t) · picture + t · noise. From t = 0.5 to 0.25 one walks half of the way to the picture.
#
# </details>

# %% [markdown] task="34.2"
# ## 34.2 Cross-attention
# *3 points · 15 minutes · medium*
#
# Write one head of the attention that brings words to patches.
#
# - `patches` (B, N, D), `words` (B, T, D); `mask` (B, T) booleans, True = a real word; `w_query`, `w_key`, `w_value` (D, D), to be used as `x @ w`.
# - Return `(added, maps)`: what is added to the patches, (B, N, D), and each word's map over the patches, **(B, T, N)**: `maps[b, t, n]` is the share of its attention that patch n gives to word t.

# %% [markdown] task="34.2"
# Scores are divided by the square root of D. A word that is padding gets exactly 0.
#
# Example: D = 1, one patch 1.0, words 0.0 and 5.0, the second is padding, all matrices [[1.0]]: added [[[0.0]]], maps [[[1.0], [0.0]]].

# %% answer="34.2"
def cross_attention(patches, words, mask, w_query, w_key, w_value):
    ### BEGIN SOLUTION
    scores = (patches @ w_query) @ (words @ w_key).mT / patches.shape[-1] ** 0.5
    shares = scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
    return shares @ (words @ w_value), shares.mT
    ### END SOLUTION

# %% check="34.2" points=3
check("34.2", cross_attention)

# %% [markdown] task="34.2"
# <details><summary>Hint 1</summary>
#
# Queries come from the patches; keys and values from the words. The scores have the shape (B, N, T), and each of their rows becomes shares that sum to one.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Put −inf where `mask[:, None]` is False, before the softmax. The maps are the shares with their last two axes exchanged.
#
# </details>

# %% [markdown] task="34.3"
# ## 34.3 One step of inpainting
# *3 points · 15 minutes · medium*
#
# Part of a given picture is to be painted anew, the rest must stay. Write one step of the walk.
#
# - `x` (B, 3, H, W) at the time `now`; `picture`: what the model foresees; `then`: the next time, 0 ≤ then < now ≤ 1.
# - `given` (3, H, W): the given picture; `noise` (B, 3, H, W): the noise with which the walk began; `anew` (H, W): booleans, True = paint.
# - Return x at the time `then`.

# %% [markdown] task="34.3"
# Where `anew` is True: a straight step, from `now` to `then`, of the line that leads from the noisy x to the foreseen picture at time 0. Elsewhere: the **given** picture with as much of `noise` as belongs to the time `then`.
#
# Example: now 1, then 0.5, x = 1, picture = 0, given = 0.2, noise = 1. A painted pixel becomes 0.5, another 0.5 · 0.2 + 0.5 · 1 = 0.6.

# %% answer="34.3"
def inpainting_step(x, picture, now, then, given, noise, anew):
    ### BEGIN SOLUTION
    painted = picture + (x - picture) * then / now
    return torch.where(anew, painted, (1 - then) * given + then * noise)
    ### END SOLUTION

# %% check="34.3" points=3
check("34.3", inpainting_step)

# %% [markdown] task="34.3"
# <details><summary>Hint 1</summary>
#
# At time 0 x should be the picture, at time `now` it is x. In between it is a mixture, and then / now says which.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.where(anew, painted, kept)`. At then = 0, the kept part is the given picture without any noise.
#
# </details>

# %% [markdown] task="34.4"
# ## 34.4 Find the bugs: away from the words
# *3 points · 15 minutes · medium*
#
# A sampler should follow its sentence, and turns away from it: the larger the weight, the farther. Only with weight 0, where no sentence counts, its things are as they should be. And the last step leaves noise in the picture. Run it.

# %%
def guided_step_broken(x, pictures, now, then, weight):
    """x (B, ...) at `now`; pictures (2 * B, ...): foreseen with words, and then those foreseen without them."""
    without, wanted = pictures.chunk(2)
    picture = wanted + weight * (wanted - without)
    return x + (then - now) * (x - picture)


x, pictures = torch.tensor([[2.0]]), torch.tensor([[0.5], [0.1]])     # with words 0.5, without 0.1
print("weight 1, last step:", guided_step_broken(x, pictures, 0.5, 0.0, 1.0).item(), "and should be 0.5")

# %% [markdown] task="34.4"
# Write it as it should be. There are three mistakes.
#
# - `x` (B, ...) at the time `now`. `pictures` (2 · B, ...): first the B pictures foreseen **with** words, then the B **without**.
# - Guidance: weight 0 gives the picture without words, 1 the one with words, 3 goes three times as far.
# - Return x at the time `then`, a straight step. At then = 0 it is the guided picture itself.

# %% answer="34.4"
def guided_step(x, pictures, now, then, weight):
    ### BEGIN SOLUTION
    wanted, without = pictures.chunk(2)
    picture = without + weight * (wanted - without)
    return x + (then - now) / now * (x - picture)
    ### END SOLUTION

# %% check="34.4" points=3
check("34.4", guided_step)

# %% [markdown] task="34.4"
# <details><summary>Hint 1</summary>
#
# Which half of `pictures` comes first? And with weight 1 only the picture with words should be left: is it?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The velocity is noise − picture, and x − picture is only `now` times that. So what is missing in the last line?
#
# </details>

# %% [markdown] task="34.5"
# ## 34.5 Find the bugs: a training batch
# *4 points · 15 minutes · medium*
#
# A text-to-image model is trained on this batch, with DDPM's noise of lesson 33. Its pictures come out gray and pale, guidance makes them worse, and in sampling the first step, the noisiest one, is a step that training never showed.

# %%
def training_batch_broken(pictures, ids, empty, noise, u, v, alphas):
    """pictures (B, 3, H, W) bytes; ids (B, L); empty (L,); u, v (B,) from 0 to 1; alphas (T,) -> noisy, told, steps"""
    steps = (u * (len(alphas) - 1)).long()
    clean = pictures / 255
    dropped = torch.where((v < 0.1)[:, None], empty, ids)
    kept = alphas[steps][:, None, None, None]
    noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    return noisy, ids, steps


u, v = torch.tensor([0.0, 0.9999]), torch.tensor([0.05, 0.5])
_, told, steps = training_batch_broken(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.full((2, 3), 7), torch.zeros(3, dtype=int),
                                       torch.zeros(2, 3, 4, 4), u, v, torch.linspace(0.99, 0.01, 10))
print("steps:", steps.tolist(), "and should be [0, 9]; sentences:", told.tolist(), "and the first should be empty")

# %% [markdown] task="34.5"
# Write it as it should be. There are three mistakes.
#
# - `pictures` (B, 3, H, W): bytes, 0 to 255. Models of this course see −1 to 1. `noise`: standard normal.
# - `u` (B,), uniform from 0 up to but not 1: each of the T steps 0 to T − 1 gets an equal share of it. `alphas` (T,): the share of the picture's variance that is left after each step (lesson 33's ᾱ).
# - `v` (B,): where it is **below 0.1** the sentence is dropped: its `ids` (L,) become `empty`.
# - Return the noisy pictures (float), the sentences told (B, L), and the steps (B,), int64.

# %% answer="34.5"
def training_batch(pictures, ids, empty, noise, u, v, alphas):
    ### BEGIN SOLUTION
    steps = (u * len(alphas)).long()
    clean = pictures.float() / 127.5 - 1
    told = torch.where((v < 0.1)[:, None], empty, ids)
    left = alphas[steps].view(-1, 1, 1, 1)
    return left.sqrt() * clean + (1 - left).sqrt() * noise, told, steps
    ### END SOLUTION

# %% check="34.5" points=4
check("34.5", training_batch)

# %% [markdown] task="34.5"
# <details><summary>Hint 1</summary>
#
# What is the largest number that `steps` can be? And which of its results does the broken function never use?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Noise has the mean 0 and both signs. A picture from 0 to 1 has a mean of its own, which the model must then paint out of nothing.
#
# </details>

# %% [markdown] task="34.6"
# ## 34.6 Open challenge: eight looks
# *3 points · 20 minutes · hard*
#
# Each step of a sampler costs one look of the model. You have eight. Which times, and how to step?
#
# Return a plan as data: `(times, mixes)`. `times`: nine numbers, falling from 1 to 0. `mixes`: eight numbers. The sampler below walks with $(1 + m_k)\,v_k - m_k\,v_{k-1}$, where $v_k$ is the velocity at the k-th time. The plain walk of the lesson has equal steps and all mixes 0.

# %% [markdown] task="34.6"
# Score: how far the eight-step results are from those of 400 plain steps, divided by the plain walk's distance, in 32 new random worlds of six "pictures" each (they have 8 numbers, so that it takes no time). 1.0 is the plain walk. **Target: 0.75 or less.** Below 0.5 is possible. The function below measures your plan on worlds of its own; from one to the next it differs by a few hundredths, so take the mean of many.

# %%
def walk(centers, x, times, mixes):
    """A sampler whose model is perfect: it knows the six pictures (6, 8) and the noise around them."""
    before = None
    for now, then, mix in zip(times, times[1:], mixes):
        variance = (0.05 * (1 - now)) ** 2 + now ** 2
        apart = x[:, None] - (1 - now) * centers
        likely = (-apart.square().sum(-1) / (2 * variance)).softmax(-1)[..., None]
        foreseen = (likely * (centers + (1 - now) * 0.05 ** 2 / variance * apart)).sum(1)
        velocity = (x - foreseen) / now
        before = velocity if before is None else before
        x = x + (then - now) * ((1 + mix) * velocity - mix * before)
        before = velocity
    return x


def score(plan, seed):
    chance = torch.Generator().manual_seed(seed)
    centers, noise = 0.8 * torch.randn(6, 8, generator=chance), torch.randn(300, 8, generator=chance)
    even = [[1 - k / n for k in range(n + 1)] for n in (8, 400)]
    true, plain = walk(centers, noise, even[1], [0] * 400), walk(centers, noise, even[0], [0] * 8)
    return ((walk(centers, noise, *plan) - true).square().mean() / (plain - true).square().mean()).sqrt().item()


later = [3 * t / (1 + 2 * t) for t in (1 - k / 8 for k in range(9))]               # more steps where it is noisy
print(f"plain times: 1.00, later times: {sum(score((later, [0] * 8), seed) for seed in range(4)) / 4:.2f}")

# %% answer="34.6"
def plan():
    ### BEGIN SOLUTION
    return [1 - k / 8 for k in range(9)], [0] + [0.5] * 7         # Adams and Bashforth's second-order step
    ### END SOLUTION

# %% check="34.6" points=3
check("34.6", plan)

# %% [markdown] task="34.6"
# <details><summary>Hint 1</summary>
#
# Other times alone gain little. The velocity changes on the way; from two of them you can guess how.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# If steps are equal, the mean velocity of the coming step is about the velocity now, plus half of the change since the last one.
#
# </details>
