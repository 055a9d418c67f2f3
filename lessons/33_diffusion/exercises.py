# ---
# title: Diffusion
# minutes: 105
# prerequisites: [33]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 33.

# %%
import torch

from mmcourse import zoo
from mmcourse.checks import check
from mmcourse.recipes import diffusion as recipe

# %% [markdown] task="33.1"
# ## 33.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers and one True or False.

# %% [markdown] task="33.1"
# | key | what it is |
# |---|---|
# | `signal` | two steps, both with β = 0.5: by what is the picture multiplied after both? |
# | `sigma` | the same: by what is the noise multiplied? Two decimals |
# | `fog` | a pixel is 1 in one of four pictures, −1 in the other three: the best guess of it under pure noise |
# | `loss` | DDPM's loss (the mean per number) of a network that always says that the noise is 0 |
# | `velocity` | flow matching, picture 0.5, noise −1: the velocity at t = 0.3 |
# | `same` | DDIM with η = 0, twice from the same noise with the same network: is it the same picture? |

# %% answer="33.1"
def predictions():
    ### BEGIN SOLUTION
    left = (1 - 0.5) * (1 - 0.5)
    return {"signal": left ** 0.5, "sigma": round((1 - left) ** 0.5, 2), "fog": (1 - 3) / 4, "loss": 1.0,
            "velocity": -1 - 0.5, "same": True}
    ### END SOLUTION

# %% check="33.1" points=2
check("33.1", predictions)

# %% [markdown] task="33.1"
# <details><summary>Hint 1</summary>
#
# Each step multiplies the picture by √(1 − β). Signal² + sigma² = 1.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Under pure noise every picture is as likely as before: the best guess is the mean. The noise has variance 1, which is the mean of its square. The velocity does not depend on t.
#
# </details>

# %% [markdown] task="33.2"
# ## 33.2 Noise in one go
# *3 points · 15 minutes · medium*
#
# DDPM's closed form, for a batch in which every picture has a step of its own.
#
# - `pictures` and `noise`: (B, C, H, W) float32; `t`: (B,) int64, steps from 0 to T − 1; `betas`: (T,) float32.
# - Return the noisy pictures (B, C, H, W): picture b after steps 0, 1, ..., t[b], with `noise[b]`.

# %% [markdown] task="33.2"
# Example: `betas` = (0.19, 0.5). After step 0 the picture counts √0.81 = 0.9, the noise √0.19 = 0.436. After step 1: √(0.81 · 0.5) = 0.636 and √(1 − 0.405) = 0.771.

# %% answer="33.2"
def add_noise(pictures, noise, t, betas):
    ### BEGIN SOLUTION
    left = torch.cumprod(1 - betas, dim=0)[t].view(-1, 1, 1, 1)
    return left.sqrt() * pictures + (1 - left).sqrt() * noise
    ### END SOLUTION

# %% check="33.2" points=3
check("33.2", add_noise)

# %% [markdown] task="33.2"
# <details><summary>Hint 1</summary>
#
# `torch.cumprod(1 - betas, 0)` is ᾱ for all steps at once. Index it with `t`: one number a picture.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A tensor (B,) multiplies pictures (B, C, H, W) only as (B, 1, 1, 1): `.view(-1, 1, 1, 1)`. ᾱ is a share of the variance: take roots.
#
# </details>

# %% [markdown] task="33.3"
# ## 33.3 DDIM
# *4 points · 20 minutes · medium*
#
# Write the whole sampler for η = 0.
#
# - `network(x, t)`: x (B, 10), t (B,) int64 → the noise it sees (B, 10).
# - `x` (B, 10): pure noise; `alpha_bar` (T,); `times`: the steps to visit, a list of falling whole numbers such as [999, 749, 499, 249].
# - At each step split x into its guessed picture and noise, and mix them anew for the **next** step of the list. After the last one comes the clean picture: there ᾱ is **1**.
# - Return x (B, 10). Call the network once for each entry of `times`.

# %% [markdown] task="33.3"
# Example: x = 1 at ᾱ = 0.64, and the network says 0.5. The picture is (1 − 0.6 · 0.5) / 0.8 = 0.875. If the next ᾱ is 0.81, x becomes 0.9 · 0.875 + 0.436 · 0.5 = 1.005. If it was the last step, x becomes 0.875.

# %% answer="33.3"
def ddim(network, x, alpha_bar, times):
    ### BEGIN SOLUTION
    after = [alpha_bar[s] for s in times[1:]] + [torch.tensor(1.0)]
    for step, then in zip(times, after):
        now, said = alpha_bar[step], network(x, torch.full((x.shape[0],), step))
        picture = (x - torch.sqrt(1 - now) * said) / torch.sqrt(now)
        x = torch.sqrt(then) * picture + torch.sqrt(1 - then) * said
    return x
    ### END SOLUTION

# %% check="33.3" points=4
check("33.3", ddim)

# %% [markdown] task="33.3"
# <details><summary>Hint 1</summary>
#
# `zip(times, times[1:] + [None])` gives each step with the one after it. What is ᾱ for `None`?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The network wants a step for each row: `torch.full((len(x),), t)`. The noise that is mixed in again is what the network **said** at this step, not fresh noise and not the x of the beginning.
#
# </details>

# %% [markdown] task="33.4"
# ## 33.4 Find the bug: it never learned to begin
# *4 points · 20 minutes · medium*
#
# A team trains with the function below. The loss falls nicely. But samples begin badly: the very first step back, from pure noise, asks the network about a step that it never saw. Their T is 4 here, so that you can count.

# %%
def noisy_batch_broken(pictures, alpha_bar):
    """pictures (B, C, H, W), alpha_bar (T,) -> noisy pictures, t (B,) int64, noise (B, C, H, W)"""
    t = torch.randint(0, len(alpha_bar) - 1, (1,)).repeat(len(pictures))
    noise = torch.randn(pictures.shape[1:]).expand_as(pictures)
    signal, sigma = alpha_bar[t] ** 0.5, (1 - alpha_bar[t]) ** 0.5
    noisy = [a * picture + b * one for a, picture, b, one in zip(signal, pictures, sigma, noise)]
    return torch.stack(noisy), t, noise


alpha_bar = torch.tensor([0.9, 0.6, 0.3, 0.01])
seen = torch.cat([noisy_batch_broken(torch.zeros(2, 3, 4, 4), alpha_bar)[1] for _ in range(500)])
print("how often each step came:", torch.bincount(seen, minlength=4).tolist())
_, t, noise = noisy_batch_broken(torch.zeros(6, 3, 4, 4), alpha_bar)
print("steps in one batch:      ", t.tolist())
print("spread of one number over the pictures of a batch:", round(noise[:, 0, 0, 0].std().item(), 2))

# %% [markdown] task="33.4"
# Write it as it should be: every step from 0 to T − 1 equally likely, a step of its own and noise of its own for each picture. There are three mistakes. (The first one has stood in published courses: with T = 1,000 it hardly shows.)

# %% answer="33.4"
def noisy_batch(pictures, alpha_bar):
    ### BEGIN SOLUTION
    count, total = pictures.shape[0], alpha_bar.shape[0]
    t = torch.randint(total, (count,))
    noise = torch.randn_like(pictures)
    left = alpha_bar[t][:, None, None, None]
    return left ** 0.5 * pictures + (1 - left) ** 0.5 * noise, t, noise
    ### END SOLUTION

# %% check="33.4" points=4
check("33.4", noisy_batch)

# %% [markdown] task="33.4"
# <details><summary>Hint 1</summary>
#
# `torch.randint(low, high, size)` never gives `high` itself.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# How many numbers are drawn for t, and how many pictures are there? `expand_as` shows the same numbers again and again: `torch.randn_like` draws new ones.
#
# </details>

# %% [markdown] task="33.5"
# ## 33.5 Find the bug: black specks on white paper
# *3 points · 15 minutes · medium*
#
# The model is fine, its pictures look broken: dark, with specks of the wrong color, and torn. This function makes pixels of its output. Inside of models, pictures go from −1 to 1; after sampling some values lie a little outside.

# %%
def to_pixels_broken(x):
    """x (B, 3, H, W) float, about -1 to 1 -> (B, H, W, 3) uint8, 0 to 255"""
    return (x * 255).to(torch.uint8).reshape(len(x), x.shape[2], x.shape[3], 3)


x = torch.ones(1, 3, 2, 2)                                               # white paper, one red pixel
x[0, 1:, 0, 0] = -1.0
x[0, :, 1, 1] = 1.02                                                     # a little too white
for row in to_pixels_broken(x)[0].tolist():
    print(row)
print("should be [[255, 0, 0], [255, 255, 255]] and twice [255, 255, 255]")

# %% [markdown] task="33.5"
# Write it as it should be: −1 becomes 0, 1 becomes 255, what lies outside is cut off, the rest is **rounded** to the nearest whole number, and the colors of a pixel come last.

# %% answer="33.5"
def to_pixels(x):
    ### BEGIN SOLUTION
    levels = torch.round((torch.clamp(x, -1.0, 1.0) + 1) / 2 * 255)
    return levels.to(torch.uint8).movedim(1, -1)
    ### END SOLUTION

# %% check="33.5" points=3
check("33.5", to_pixels)

# %% [markdown] task="33.5"
# <details><summary>Hint 1</summary>
#
# uint8 counts in a circle: 256 is 0 again, and −1 is 255. So cut off **before** you convert.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `reshape` deals the numbers out in the order in which they lie; it does not swap axes. `permute(0, 2, 3, 1)` does.
#
# </details>

# %% [markdown] task="33.6"
# ## 33.6 Open challenge: what draws can also name
# *4 points · 25 minutes · hard*
#
# A model that draws guesses a noisy picture better when it is told the **right** kind. So it can also name (A. Li and others 2023).
#
# - `network(x, t, kinds)`: noisy pictures (N, 3, 32, 32), on the straight line at the times (N,), kinds (N,) int64 from 0 to 23 → guessed pictures (N, 3, 32, 32). That is N looks.
# - `pictures`: (M, 3, 32, 32), clean. Return (M,) int64, the kind of each. Kind k has the color k // 4 and the shape k % 4.

# %% [markdown] task="33.6"
# The paper asks about every class; you have fewer looks than kinds. Which times tell most? Must kinds be compared under the **same** noise? And what can one look tell about kinds that you did not ask for? You may look **10 times** for each picture that you name.
#
# Score: the share right, of 24 kinds. A random guess gets 4%. **Target: 90%.** With how few looks can you reach it?

# %% tags=["nbval-ignore-output"]
model = zoo.load("diffusion").cpu()
pictures, kinds = recipe.shown(range(10**6, 10**6 + 48))
print(tuple(pictures.shape), [" ".join(recipe.KINDS[kind]) for kind in kinds[:4]])
# try yours: (name_kinds(model, pictures) == kinds).float().mean()

# %% answer="33.6"
def name_kinds(network, pictures):
    ### BEGIN SOLUTION
    t = torch.full((len(pictures),), 0.3)
    x = 0.7 * pictures + 0.3 * torch.randn_like(pictures)

    def best(kinds):                                              # of (M, K) kinds, the place of the one with the least error
        with torch.no_grad():
            errors = [(network(x, t, kind) - pictures).square().mean(dim=(1, 2, 3)) for kind in kinds.T]
        return torch.stack(errors, dim=1).argmin(dim=1)
    color = best(4 * torch.arange(6).repeat(len(pictures), 1))    # a circle of each color: the color counts most
    return 4 * color + best(4 * color[:, None] + torch.arange(4))
    ### END SOLUTION

# %% check="33.6" points=4 tags=["nbval-ignore-output"]
check("33.6", name_kinds)

# %% [markdown] task="33.6"
# <details><summary>Hint 1</summary>
#
# Mix a picture with noise at some time. Tell the network a kind, and compare its guess with the clean picture. The kind whose guess is nearest is the right one. A circle of the right color is nearer than one of another, even if the thing is a star.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# First six looks, one for each color, all with the same shape. Then four, one for each shape in the color that won. With nothing but noise the network sees nothing: times below 0.7 tell most.
#
# </details>
