# ---
# title: Diffusion
# question: How does a picture come out of noise?
# minutes: 90
# level: intermediate
# objectives:
#   - add noise to a picture in one go, and take it away again in many steps
#   - train with the loss of DDPM, and sample by DDPM, DDIM and flow matching
#   - turn a predicted noise into a predicted picture or velocity, and know when it matters
#   - compare a UNet and a DiT on one budget
#   - measure how many steps a picture takes
# prerequisites: [12, 14]
# device: Two CPU cores are enough.
# words:
#   diffusion: 扩散
#   noise schedule: 噪声调度
#   signal-to-noise ratio: 信噪比
#   denoiser: 去噪器
#   sampling step: 采样步
#   flow matching: 流匹配
#   velocity: 速度
#   class-conditional: 类别条件的
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Draw me something
# A network gets random numbers and has to give a picture: of a red circle, for example, somewhere on white. Train it with the squared error against pictures of the world: which picture does it draw?
#
# The squared error is smallest for the **mean** of all pictures that are possible. That is the fog below. Today's idea: do not draw at once. Guess, go a small step towards the guess, and guess again.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from mmcourse import device, show, widgets, world, zoo
from mmcourse.models.diffusion import (ANYTHING, KINDS, Diffusion, Flow, KindDiT, ResBlock,
                                       UNet, cosine_betas, linear_betas)
from mmcourse.models.text2image import images
from mmcourse.recipes import diffusion as recipe
from mmcourse.recipes.diffusion import LEAST
from mmcourse.training import fit

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
real, kinds = recipe.shown(range(1024))
model = zoo.load("diffusion")
asked = torch.tensor([0, 5, 10, 15, 17])                     # red circle, green square, ...
noise = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(5))
with torch.no_grad():
    fog = model(noise.to(device()), torch.ones(5, device=device()), asked.to(device())).cpu()
drawn = recipe.draw(model, asked, seed=5)
row = [image.resize((128, 128), 0) for image in (*images(fog), *images(drawn))]
show.pictures(row, ["one guess"] * 5 + ["many small guesses"] * 5, columns=5, side=1.0,
              title="From the same noise: one guess, and many",
              alt="Above, five colored clouds: the network's single guesses. Below, five "
                  "things that it drew from the same noise in many steps: sharp ones.")
assert recipe.judge(drawn, asked)[1] >= 0.6

# %% [markdown] slideshow={"slide_type": "slide"}
# ## By hand: pictures of ten pixels
# Our smallest world: ten pixels in a row, from −1 (dark) to 1 (light). Three neighbors are light, so there are **eight** pictures. Noise hides them:
#
# $$x = \text{signal} \cdot p + \text{sigma} \cdot \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I)$$
#
# $p$ (10) is the picture, $\varepsilon$ (10) the noise: ten independent numbers with mean 0 and variance 1. Somebody shows you $x$. What was $p$?

# %% slideshow={"slide_type": "-"}
BARS = -torch.ones(8, 10)
for place, bar in enumerate(BARS):
    bar[place:place + 3] = 1                                              # (8, 10)
torch.manual_seed(3)
eps = torch.randn(10)
for signal, sigma in ((0.95, 0.31), (0.6, 0.8), (0.0, 1.0)):
    x = signal * BARS[2] + sigma * eps
    print(f"signal {signal:.2f}  sigma {sigma:.2f}  x =",
          " ".join(f"{value:5.1f}" for value in x))

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The best possible denoiser
# Here we can write it down. Each of the eight pictures $p_i$ is as likely as the next, so by Bayes' rule its chance, given $x$, is a softmax of how near it is. The best guess, in squared error, is the mean of the pictures with these chances:
#
# $$\hat p = \sum_i w_i\, p_i, \qquad w = \operatorname{softmax}_i\!\left(-\frac{\lVert x - \text{signal}\cdot p_i\rVert^2}{2\,\text{sigma}^2}\right)$$
#
# Predict: what does it say of pure noise (signal 0)?

# %% slideshow={"slide_type": "-"}
def best(x, signal, sigma):
    """The best guess (B, 10) of the picture under x (B, 10)."""
    far = (x[:, None] - signal * BARS).square().sum(-1)                   # (B, 8)
    return (-far / (2 * sigma ** 2)).softmax(-1) @ BARS


for signal, sigma in ((0.95, 0.31), (0.6, 0.8), (0.0, 1.0)):
    x = signal * BARS[2:3] + sigma * eps
    print(f"signal {signal:.2f}  guess =",
          " ".join(f"{value:5.2f}" for value in best(x, signal, sigma)[0]))
print("mean of all eight    =", " ".join(f"{value:5.2f}" for value in BARS.mean(0)))

# %% [markdown] slideshow={"slide_type": "notes"}
# With little noise the guess is the picture itself. With much it is a mixture of the few that fit. Of pure noise it is the mean of all eight: the fog of the first page. This denoiser is attention: x is the query, the pictures are keys and values (lesson 11).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Many small helpings of noise
# DDPM (Ho and others 2020) adds noise in T = 1,000 steps. Step $t$ shrinks what is there a little and adds noise of variance $\beta_t$:
#
# $$x_t = \sqrt{1-\beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \varepsilon_t$$
#
# Why shrink? So that the variance stays where it is: $(1-\beta)\cdot 1 + \beta = 1$. And sums of Gaussian noise are Gaussian noise, so all steps up to $t$ are **one** step:
#
# $$x_t = \sqrt{\bar\alpha_t}\; p + \sqrt{1-\bar\alpha_t}\; \varepsilon, \qquad \bar\alpha_t = \prod_{s \le t} (1-\beta_s)$$
#
# Below, 20,000 copies of one light pixel, p = 1: their mean is the signal, their spread is sigma.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
ddpm = Diffusion(linear_betas())
x, many = torch.ones(20000), torch.Generator().manual_seed(0)             # a light pixel
for t, beta in enumerate(linear_betas().tolist()):
    x = (1 - beta) ** 0.5 * x + beta ** 0.5 * torch.randn(20000, generator=many)
    if t in (0, 99, 299, 999):
        signal, sigma = (weight.item() for weight in ddpm.levels(t, x))
        print(f"after step {t:3}: mean {x.mean():5.2f}, spread {x.std():.2f}"
              f"    closed form: {signal:5.2f}, {sigma:.2f}")
        assert abs(x.mean() - signal) < 0.04 and abs(x.std() - sigma) < 0.04

# %% [markdown] slideshow={"slide_type": "subslide"}
# In code it is a product and two square roots. `t` counts from 0 to T − 1; `alpha` of the step **before** step 0 is 1: a clean picture. Half of all mistakes with diffusion are made in these lines.

# %% include="mmcourse/models/diffusion.py::Path.add" slideshow={"slide_type": "-"}

# %% include="mmcourse/models/diffusion.py::Diffusion.alpha" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"}
print("after the last step", f"{ddpm.alpha_bar[-1]:.4e}", "of the variance is the picture's")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Break it: the square root forgotten
# $\bar\alpha$ is a share of the **variance**; pixels are multiplied by its square root. Forget that, and the code runs and the loss falls. What it does to pictures, you try below, when there is a sampler. The invariant: data of variance 1 keep variance 1 at every $t$, because signal² + sigma² = 1.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
left = ddpm.alpha_bar
fig, ax = plt.subplots(figsize=(8, 2.7))
ax.plot((left + (1 - left)) ** 0.5, label="right")
ax.plot((left ** 2 + (1 - left) ** 2) ** 0.5)
ax.set(xlabel="step t", ylabel="spread of x", ylim=(0.6, 1.1),
       title="Without the roots, the spread is lost on the way")
ax.text(600, 1.02, "with the square roots", color=show.CYCLE[0])
ax.text(420, 0.74, "forgotten", color=show.CYCLE[1])
show.figure(fig, alt="The spread of noisy data by step: constant one with the square roots, "
                     "a dip to 0.7 near step 260 where they are forgotten.")
assert (left ** 2 + (1 - left) ** 2).min() < 0.51

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The loss
# A network gets $x_t$ and $t$ and says which **noise** was added. That is all (Ho and others 2020, eq. 14):
#
# $$L = \mathbb{E}_{p,\,t,\,\varepsilon}\;\lVert \varepsilon - \hat\varepsilon(x_t, t) \rVert^2$$
#
# It is a mean over the numbers: a network that always says 0 has loss 1. No step has to be simulated: draw a picture, a $t$ and a noise, mix them, compare. From noise follows the picture, for $x_t$ is known: $\hat p = (x_t - \text{sigma}\,\hat\varepsilon) / \text{signal}$.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
def knows(path, kind="noise"):
    """The best denoiser as a network: network(x (B, 10), t (B,)) -> what `kind` says."""
    def network(x, t):
        signal, sigma = path.levels(t, x)
        picture = best(x, signal[..., None], sigma)
        noise = (x - signal * picture) / sigma
        return {"noise": noise, "picture": picture,
                "velocity": path.velocity(picture, noise, t)}[kind]
    return network


pick = torch.randint(8, (4000,))
picture, noise = BARS[pick], torch.randn(4000, 10)
for t in (0, 100, 300, 600, 999):
    said = knows(ddpm)(ddpm.add(picture, noise, t), torch.full((4000,), t))
    print(f"t = {t:3}: loss of the best denoiser {(said - noise).square().mean():.3f}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# At the ends it is easy: with little noise the bar is plain to see, so the rest is noise; with a lot, nearly all of $x$ **is** noise. In between even the best denoiser is wrong, because several bars fit. Do not wait for a loss of zero, and do not judge a model by its loss alone.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Back, step by step: DDPM
# Going back one step, from $t$ to $s = t - 1$: were the picture known, the way back would be known too, a Gaussian between $x_t$ and the picture (eq. 7). So put in the **guess**, and add fresh noise:
#
# $$x_s = \frac{\sqrt{\bar\alpha_s}\,\beta_t}{1-\bar\alpha_t}\,\hat p + \frac{\sqrt{1-\beta_t}\,(1-\bar\alpha_s)}{1-\bar\alpha_t}\,x_t + \text{spread}\cdot\varepsilon, \qquad \text{spread}^2 = \frac{1-\bar\alpha_s}{1-\bar\alpha_t}\,\beta_t$$
#
# At the last step $\bar\alpha_s = 1$: no fresh noise, and $x$ is the guess itself.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
generator = torch.Generator().manual_seed(4)
x, track = torch.randn(400, 10, generator=generator), []
for t in range(999, -1, -1):
    guess, _ = ddpm.read(x, knows(ddpm)(x, torch.full((400,), t)), t, "noise")
    x = ddpm.ddpm_step(x, guess, t, t - 1, torch.randn(x.shape, generator=generator))
    track.append(x[:3].clone())
track = torch.stack(track[9::10], -1)                                     # (3, 10, 100)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.2), sharey=True)
for ax, way in zip(axes, track):
    ax.imshow(way, aspect="auto", vmin=-1.5, vmax=1.5, extent=(0, 1000, 9.5, -0.5),
              interpolation="nearest")
    ax.set(xlabel="steps back from noise", yticks=range(10))
axes[0].set(ylabel="pixel", title="Three walks: noise on the left, a bar on the right")
show.figure(fig, alt="Three strips of ten pixels over a thousand steps. On the left all is "
                     "noise; on the right three neighboring pixels are light in each.")
near = (x[:, None] - BARS).square().sum(-1)                               # (400, 8)
count = torch.bincount(near.argmin(1), minlength=8).tolist()
print("each of the eight bars came out so often:", count)
assert near.amin(1).max() < 0.1 and min(count) > 20

# %% [markdown] slideshow={"slide_type": "subslide"}
# Every walk ends at one of the eight pictures, and each comes about equally often. The noise decides **which**: in the beginning the guess is fog, then one bar gets ahead, and what is ahead grows.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## DDIM: fewer steps, no new noise
# A thousand guesses for a picture is a lot. DDIM (Song and others 2021) takes the same network and jumps: split $x_t$ into its guessed picture and noise, and mix them anew with the weights of **any** earlier step $s$:
#
# $$x_s = \sqrt{\bar\alpha_s}\;\hat p + \sqrt{1-\bar\alpha_s - \text{new}^2}\;\hat\varepsilon + \text{new}\cdot\varepsilon$$
#
# *new* is $\eta$ times DDPM's spread; for a jump, its $\beta_t$ is $1 - \bar\alpha_t / \bar\alpha_s$. $\eta = 1$ is DDPM, $\eta = 0$ adds no noise: one start, one picture.

# %% include="mmcourse/models/diffusion.py::Diffusion.ddim_step" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"} tags=["nbval-ignore-output"]
start = torch.randn(1000, 10, generator=torch.Generator().manual_seed(1))
print("steps   distance to the nearest bar:  eta = 0   eta = 1")
for steps in (2, 5, 10, 20, 100):
    far = []
    for eta in (0.0, 1.0):
        out = ddpm.sample(knows(ddpm), start, steps, "noise", eta)
        far.append((out[:, None] - BARS).square().mean(-1).amin(1).sqrt().mean())
    print(f"{steps:5}{far[0]:37.3f}{far[1]:10.3f}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# Twenty jumps are enough for bars. Now the forgotten roots: a network that has learned from mixtures **without** them, in a sampler that has them. Predict: what happens to the light pixels?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
class Rootless(Diffusion):
    def levels(self, t, x):
        left = self.alpha(t, x)
        return left, 1 - left


for name, learned in (("with", ddpm), ("without", Rootless(linear_betas()))):
    out = ddpm.sample(knows(learned), start, 1000, "noise")
    light = out.max(1).values.mean()
    far = (out[:, None] - BARS).square().mean(-1).amin(1).sqrt().mean()
    print(f"learned {name:<7} roots: lightest pixel {light:.2f}, distance to a bar {far:.2f}")
    assert (light > 0.9) == (name == "with")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Pictures come out **pale**. No error is raised, and the loss was low. Weights without roots are not wrong in themselves, as you see next. Wrong is that training and sampling disagree.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Flow matching: the same in straight lines
# Roots keep the variance, but nothing needs that. Take the plainest mixture, with $t$ from 0 (picture) to 1 (noise):
#
# $$x = (1-t)\,p + t\,\varepsilon, \qquad v = \frac{dx}{dt} = \varepsilon - p$$
#
# $v$ is the **velocity**: along the line from a picture to a noise it never changes. A network learns it by the mean squared error. To draw, start at $t=1$ and go $x \leftarrow x + (t_s - t)\,\hat v$ (Liu and others 2023, Lipman and others 2023).

# %% include="mmcourse/models/diffusion.py::Flow.sample" slideshow={"slide_type": "-"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## How much the same?
# Divide DDPM's $x$ by (signal + sigma), and its weights add up to 1: it lies on the straight line, at $t = \text{sigma} / (\text{signal} + \text{sigma})$. Only the clock and the brightness differ. So **one trained network serves both**, and from the same noise DDIM and flow should end at the same picture. Do they?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
flow = Flow()
for steps in (10, 50, 200):
    one = ddpm.sample(knows(ddpm), start, steps, "noise")
    two = flow.sample(knows(flow, "picture"), start, steps, "picture")
    same = ((one[:, None] - BARS).square().sum(-1).argmin(1)
            == (two[:, None] - BARS).square().sum(-1).argmin(1)).float().mean()
    print(f"{steps:3} steps: DDIM and flow end at the same bar from {same:.1%} of starts")
assert same > 0.95

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, axes = plt.subplots(1, 2, figsize=(9.6, 2.9))
colors = [show.CYCLE[0] if value < 0 else show.CYCLE[1] for value in one[:24, 4].tolist()]
for ax, path, times, name in ((axes[0], ddpm, ddpm.times(100), "DDPM's mixture"),
                              (axes[1], flow, torch.linspace(1, 0, 101).tolist(), "straight")):
    x, track = start[:24], [start[:24, 4]]
    for now, then in zip(times, times[1:]):
        guess = best(x, *(weight for weight in path.levels(now, x)))
        e = path.read(x, guess, now, "picture")[1]
        x = path.add(guess, e, then) if then != -1 else guess
        track.append(x[:, 4])
    for way, color in zip(torch.stack(track, 1), colors):
        ax.plot(np.linspace(0, 1, 101), way, color=color, linewidth=1)
    ax.set(xlabel="share of the steps done", title=f"{name}: pixel 4 on 24 ways")
axes[0].set_ylabel("value of the pixel")
show.figure(fig, alt="The value of one pixel along 24 ways from noise to picture, left with "
                     "DDPM's weights, right with straight ones. Both end at minus one or one, "
                     "the same for the same start; the straight ways bend less.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Each line from a picture to a noise is straight. But many lines cross at $x$, and a network can only say their **mean** velocity; so the way that is drawn bends, and one step is not enough. With more steps the two agree more. What is left are starts between two bars.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Same as the library
# diffusers calls these things *schedulers*. We copy nothing but arithmetic, so the difference should be exactly zero.

# %% slideshow={"slide_type": "-"}
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

torch.manual_seed(0)
x, noise, said = torch.randn(3, 2, 3, 8, 8)
t = torch.tensor([10, 700])
theirs = DDPMScheduler(clip_sample=False)
far = {"DDPM add_noise": ddpm.add(x, noise, t) - theirs.add_noise(x, noise, t)}
picture, e = ddpm.read(x, said, 700, "noise")
fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
far["DDPM step"] = ddpm.ddpm_step(x, picture, 700, 699, fresh) - theirs.step(
    said, 700, x, generator=torch.Generator().manual_seed(5)).prev_sample
theirs = DDIMScheduler(clip_sample=False)
theirs.set_timesteps(50)
far["DDIM step, eta 0"] = (ddpm.ddim_step(x, picture, e, 700, 680)
                           - theirs.step(said, 700, x).prev_sample)
theirs = FlowMatchEulerDiscreteScheduler()
now, then = theirs.sigmas[0], theirs.sigmas[1]
far["flow scale_noise"] = flow.add(x, noise, now) - theirs.scale_noise(
    x, theirs.timesteps[:1], noise)
far["flow step"] = flow.step(x, said, now, then) - theirs.step(
    said, theirs.timesteps[0], x).prev_sample

# %% slideshow={"slide_type": "-"}
print(*(f"{name:<18}{value.abs().max():.1f}" for name, value in far.items()), sep="\n")
assert all((value == 0).all() for value in far.values())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Schedules, and the signal-to-noise ratio
# Which $\bar\alpha$ at which step is the **schedule**. What counts is the signal-to-noise ratio, signal² / sigma². The linear schedule spends many of its steps where hardly any picture is left; the cosine (Nichol and Dhariwal 2021) spreads them better. A network that gets the ratio in place of the step would not notice the difference.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
cosine = Diffusion(cosine_betas())
example = recipe.close_up([world.Scene((world.Object("star", "blue"),))])
noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(2))
fig = plt.figure(figsize=(7.6, 2.7))
grid = fig.add_gridspec(3, 2, width_ratios=(1, 1.7))
left, *strips = [fig.add_subplot(place) for place in (
    grid[:, 0], *(grid[line, 1] for line in range(3)))]
share = torch.arange(1000) / 999
curves = {"linear": ddpm.alpha_bar, "cosine": cosine.alpha_bar,
          "flow": (1 - share) ** 2 / ((1 - share) ** 2 + share ** 2)}
for (name, curve), ax in zip(curves.items(), strips):
    left.plot(share[1:-1], (curve / (1 - curve))[1:-1].log10(), label=name)
    at = [curve[round(999 * k / 5)] for k in range(6)]
    noisy = torch.cat([a ** 0.5 * example + (1 - a) ** 0.5 * noise for a in at])
    show.panel(ax, np.concatenate([np.asarray(image) for image in images(noisy)], 1))
    ax.set_title(name, fontsize=10)
left.set(ylim=(-4.5, 4.5), xlabel="share of the way", title="log10 of the ratio")
left.legend(fontsize=8, loc="lower left")
show.figure(fig, alt="Left: the logarithm of the signal-to-noise ratio falls along the way, "
                     "fastest in the linear schedule. Right: a blue star in six stages of "
                     "noise for each schedule; in the linear one it is lost soonest.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask: at which picture of each strip do you still see the star? In the linear strip it is lost soonest. Larger pictures need more noise, since neighboring pixels tell the same: Stable Diffusion 3 shifts the clock of flow for that reason.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Three things that a network can say
# Noise, velocity or picture: with $x$ known, each follows from each other. So is it all the same?
#
# | it says (flow: signal 1 − t, sigma t) | picture | noise |
# |---|---|---|
# | noise $\hat\varepsilon$ | $(x - t\hat\varepsilon)/(1-t)$ | $\hat\varepsilon$ |
# | velocity $\hat v$ | $x - t\hat v$ | $x + (1-t)\hat v$ |
# | picture $\hat p$ | $\hat p$ | $(x - (1-t)\hat p)/t$ |
#
# For a perfect network, yes. For a narrow one, no: noise fills **all** dimensions of its space, pictures only a few (Li and He 2025, *JiT*).

# %% include="mmcourse/models/diffusion.py::Path.read" slideshow={"slide_type": "subslide"}

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A narrow door
# JiT's experiment: hide our ten pixels in a space of $D$ numbers, by a fixed rotation. The noise has $D$ numbers. The network has a layer of only 32. Same loss for all three, on the velocity: its error is $(\hat p - p)/t$. Only what the last layer **says** differs. Predict: who suffers at $D = 256$?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
def narrow(D, says, steps=400, width=32):
    """How far the guesses of a trained narrow network are from those of the best one."""
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(D, 10))[0].T                       # (10, D)
    network = nn.Sequential(nn.Linear(D + 1, width), nn.ReLU(), nn.Linear(width, width),
                            nn.ReLU(), nn.Linear(width, D)).to(device())

    def batch(step, count=256):
        g = torch.Generator().manual_seed(step)
        bars = BARS[torch.randint(8, (count,), generator=g)] @ turn
        t = torch.rand(count, generator=g) * 0.9 + 0.05
        return bars, t, flow.add(bars, torch.randn(count, D, generator=g), t)

    def guess(network, t, x):
        return flow.read(x, network(torch.cat([x, t[:, None]], 1)), t, says)[0]

    def loss(network, data):
        picture, t, x = data
        return ((guess(network, t, x) - picture) / t[:, None]).square().mean()
    fit(network, batch, loss, steps, lr=1e-2)
    _, t, x = batch(10 ** 6, 4000)
    ideal = best(x @ turn.T, (1 - t)[:, None, None], t[:, None])
    return (guess(network.cpu(), t, x) @ turn.T - ideal).square().mean().item()

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
sizes = [10, 64, 256]
missed = {says: [narrow(D, says) for D in sizes] for says in KINDS}
fig, ax = plt.subplots(figsize=(7.6, 3.2))
for says, line in missed.items():
    ax.plot(sizes, line, marker="o", label=f"says the {says}")
ax.axvline(32, color=show.QUIET, linestyle=":", linewidth=1)
ax.set(xscale="log", yscale="log", xlabel="D, numbers that hold the ten pixels",
       ylabel="error beyond the best", title="Only the picture fits through a narrow door")
ax.text(33, ax.get_ylim()[0] * 1.2, " the door: 32", fontsize=9)
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend()
show.figure(fig, alt="Error of the guessed picture against the number of dimensions. The "
                     "network that says the picture stays low; those that say noise or "
                     "velocity get far worse once there are more numbers than the 32 inside.")
assert missed["picture"][-1] < 0.5 * min(missed["noise"][-1], missed["velocity"][-1])

# %% [markdown] slideshow={"slide_type": "fragment"}
# Noise has two troubles. At D = 10 nothing is narrow, and it is worse already: its picture is $(x - t\hat\varepsilon)/(1-t)$, and near $t = 1$ that divides by little. Behind the door, all of the noise would have to pass through 32 numbers. A velocity is not divided, but holds all of the noise, too. The picture has neither trouble.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same at large patches
# Now pictures: close-ups of 32 × 32 pixels, one large thing each, 24 kinds (six colors, four shapes) at 17 × 17 places. A DiT reads them as patches (lesson 14). With patches of 8 × 8 pixels and 3 colors a token has to say **192** numbers through its 64. Large patches mean few tokens, here 16, so we want them. Three small DiTs get the same pictures, steps and loss (times below `LEAST` = 0.05 count as that much, so that nothing is divided by 0):

# %% include="mmcourse/recipes/diffusion.py::loss" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "subslide"} tags=["nbval-ignore-output"]
held_out, held_kinds = recipe.shown(range(2 ** 31, 2 ** 31 + 48))


def study(network, steps, says="picture", muon=0.02):
    """Train on pictures of one thing. Returns the processor seconds that it took."""
    def batch(step, size=32):
        g = torch.Generator().manual_seed(step)
        pick = torch.randint(len(real), (size,), generator=g)
        return recipe.noised(real[pick], kinds[pick], g)

    began = time.process_time()
    fit(network, batch, lambda net, data: recipe.loss(net, data, says), steps, lr=3e-3,
        muon=muon, warmup=20)
    return time.process_time() - began


@torch.no_grad()
def misses(network, says, times=(0.2, 0.4, 0.6, 0.8, 0.95)):
    """Mean squared error of the guessed picture on new pictures, at each time."""
    e, out = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(0)), []
    for t in times:
        x, at = flow.add(held_out, e, t).to(device()), torch.full((48,), t, device=device())
        guess, _ = flow.read(x, network(x, at, held_kinds.to(device())), t, says)
        out.append((guess.cpu() - held_out).square().mean().item())
    return out

# %% tags=["hide-input", "nbval-ignore-output"]
STEPS, TIMES = 150, (0.2, 0.4, 0.6, 0.8, 0.95)
dits, error, seconds = {}, {}, {}
for says in KINDS:
    torch.manual_seed(0)
    dits[says] = KindDiT(32, patch_size=8, d_model=64, num_layers=2)
    seconds[says] = study(dits[says], STEPS, says)
    error[says] = misses(dits[says], says)
print(f"{STEPS} steps each, about {np.mean(list(seconds.values())):.0f} processor seconds")
assert np.mean(error["picture"]) < 0.5 * np.mean(error["noise"])

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def side_by_side(errors, rows, title, alt):
    """Curves of the guess's error on the left, a strip of drawn pictures a network right."""
    fig = plt.figure(figsize=(7.6, 2.9))
    grid = fig.add_gridspec(len(rows), 2, width_ratios=(1, 1.2))
    left = fig.add_subplot(grid[:, 0])
    for name, line in errors.items():
        left.plot(TIMES, line, marker="o", label=name)
    left.set(yscale="log", xlabel="t, from picture to noise", title=title)
    left.legend(fontsize=9)
    for line, (name, out) in enumerate(rows.items()):
        strip = np.concatenate([np.asarray(image) for image in images(out)], 1)
        show.panel(fig.add_subplot(grid[line, 1]), strip, name)
    show.figure(fig, alt=alt)

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def drawn_by(network, says, count=4, steps=20):
    """`count` pictures, of the kinds 0, 4, 8, ...: circles."""
    wanted = (4 * torch.arange(count)).to(device())
    e = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device())
    path = [0.95, *torch.linspace(0.9, 0, steps).tolist()]     # noise / (1 - t) breaks at 1
    with torch.no_grad():
        for now, then in zip(path, path[1:]):
            said = network(e, torch.full((count,), now).float().to(device()), wanted)
            guess, noise = flow.read(e, said, now, says)
            e = flow.step(e, noise - guess, now, then)
    return e.cpu()

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
side_by_side({f"says the {says}": line for says, line in error.items()},
             {f"says the {says}": drawn_by(dits[says], says) for says in KINDS},
             "Error of the guessed picture",
             "Left: error of the guessed picture by noise level for three small DiTs; the "
             "one that says the picture is best by far. Right: what each draws. Only that "
             "one draws colored lumps on white; the other two draw noise.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Through 64 numbers, a network cannot even copy the 192 of the noise, which it has before its eyes. (Part of the gap is the division: at $t = 0.95$ an error of the noise counts $(0.95/0.05)^2 = 361$ times.) It does not have to copy: the noise follows from the picture by arithmetic. Our recipes say the picture.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The old body: a UNet
# Ho and others used a **UNet**: convolutions on a large map, then on a smaller one, and up again; what was seen on the way down is laid beside what comes up. The time enters each block as a vector that is added to all places:

# %% include="mmcourse/models/diffusion.py::ResBlock.forward" slideshow={"slide_type": "-"}

# %% include="mmcourse/models/diffusion.py::UNet.forward" slideshow={"slide_type": "subslide"}

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The new body: a DiT
# A **DiT** (Peebles and Xie 2023) is lesson 14's Transformer. The time makes six vectors for each block: they shift, scale and gate what attention and feed-forward read and write. The kind of thing is one more token to look at, by cross-attention (PixArt, Chen and others 2024).

# %% include="mmcourse/models/dit.py::DiTBlock.forward" slideshow={"slide_type": "-"}

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Same as the library, again
# A block of each against diffusers, with copied weights:

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D

from mmcourse.models.dit import DiTBlock

ours, x, at = ResBlock(16, 32, 24), torch.randn(2, 16, 8, 8), torch.randn(2, 24)
theirs = ResnetBlock2D(in_channels=16, out_channels=32, temb_channels=24, groups=8)
theirs.load_state_dict({name.replace("pass_by", "conv_shortcut").replace(
    "time.", "time_emb_proj."): value for name, value in ours.state_dict().items()})
far = (ours(x, at) - theirs(x, at)).abs().max()
print(f"UNet block: {far:.0e}")
ours, x, at = DiTBlock(32, 4, cross=False), torch.randn(2, 9, 32), torch.randn(2, 6, 32)
theirs = BasicTransformerBlock(32, 4, 8, norm_type="ada_norm_single", norm_eps=1e-6,
                               attention_bias=True, norm_elementwise_affine=False,
                               activation_fn="gelu").eval()
names = ("scale_shift_table", *(f"attn1.to_{part}.{kind}" for part in ("q", "k", "v", "out.0")
         for kind in ("weight", "bias")), *(f"ff.net.{part}.{kind}"
         for part in ("0.proj", "2") for kind in ("weight", "bias")))
theirs.load_state_dict(dict(zip(names, ours.state_dict().values())))
print(f"DiT block:  {(ours(x, at) - theirs(x, timestep=at.flatten(1))).abs().max():.0e}")
assert far < 1e-5 and torch.allclose(ours(x, at), theirs(x, timestep=at.flatten(1)), atol=1e-5)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Side by side, the same seconds
# The DiT is the one that says the picture, from above. The UNet gets about the same processor time, which is fewer steps: convolutions on large maps cost more than 16 tokens. Each has the optimizer that suits it: Muon (lesson 13) for the DiT's matrices, AdamW for convolutions.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
torch.manual_seed(0)
unet = UNet(24)
spent = study(unet, 66, muon=None)
pair = {"UNet": unet, "DiT": dits["picture"]}
for (name, net), took in zip(pair.items(), (spent, seconds["picture"])):
    size = sum(weight.numel() for weight in net.parameters())
    print(f"{name:<5} {size:,} weights, {took:.1f} processor seconds")
side_by_side({name: misses(net, "picture") for name, net in pair.items()},
             {name: drawn_by(net, "picture") for name, net in pair.items()},
             "Error of the guessed picture",
             "Left: error of the guessed picture by noise level for the UNet and the DiT. "
             "Right: four pictures that each draws: colored lumps, smooth ones by the UNet, "
             "lumps cut at the edges of patches by the DiT.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Be fair: both are tiny, and had seconds. Peebles and Xie found that a DiT gets the better the more computing it is given; that is no promise for 150 steps.

# %% [markdown] slideshow={"slide_type": "subslide"}
# Circles in red, green, blue and yellow are asked for, and neither draws them yet. The UNet's lumps are smooth, because convolutions look at neighbors; the DiT's break at the edges of patches. The curves are close: seconds are too little to choose a winner. The shipped model is this DiT with four blocks in place of two, after 2,000 steps by its recipe (`mmcourse train diffusion`).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The finished model: first anything, then what you ask for
# In training, the kind of one picture in ten was replaced by the number 24, *anything*. So the same network draws **unconditionally** (anything) and **class-conditionally** (one of 24 kinds). The oracle of the world, `world.read`, looks at each picture, laid on white paper: is there one thing, is it of the kind that was asked for, and how many gray levels of 255 is it off a clean drawing?

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
free = recipe.draw(model, torch.full((72,), ANYTHING), seed=1)
told = recipe.draw(model, torch.arange(72) % 24, seed=2)
clear, _, off = recipe.judge(free, torch.full((72,), ANYTHING))
print(f"anything:    one thing on {clear:.0%} of pictures")
_, right, off = recipe.judge(told, torch.arange(72) % 24)
print(f"asked for:   the right kind on {right:.0%}, {off:.1f} gray levels from clean")
assert clear > 0.6 and right > 0.9

# %% [markdown] slideshow={"slide_type": "fragment"}
# Told what to draw, it draws more surely: a kind leaves fewer pictures that the noise may be, so the guesses are less of a fog.

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
show.pictures([image.resize((128, 128), 0).point(lambda level: round(level / 17) * 17)
               for image in images(told[:24])],
              [f"{color} {shape}" for color, shape in recipe.KINDS], columns=8, side=0.72,
              title="One picture of each of the 24 kinds, none of them chosen",
              alt="A grid of 24 small pictures, each with one thing: six colors times four "
                  "shapes, at places that the noise decided.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## How many steps?
# Song and others' table (2021, Table 1): CIFAR-10, FID (a distance between sets of pictures; lower is better), by steps and by $\eta$. The last row is DDPM with larger noise: of variance $\beta_t$ in place of spread².
#
# | $\eta$ | 10 | 20 | 50 | 100 | 1000 |
# |---|---|---|---|---|---|
# | 0 | 13.36 | 6.84 | 4.67 | 4.16 | 4.04 |
# | 0.5 | 16.66 | 8.35 | 5.25 | 4.46 | 4.29 |
# | 1 | 41.07 | 18.36 | 8.01 | 5.78 | 4.73 |
# | larger noise | 367.43 | 133.37 | 32.72 | 9.99 | 3.17 |
#
# Ours next, with another measure. Compare the **shapes** of the tables.

# %% slideshow={"slide_type": "subslide"} tags=["nbval-ignore-output"]
def as_ddpm(x, t, wanted):
    """The flow network as one for DDPM: other brightness, other clock."""
    signal, sigma = ddpm.levels(t, x)
    total = signal + sigma
    return model(x / total, (sigma / total).flatten(), wanted)


def larger(network, x, steps):
    """DDPM with the larger of its two noises, to the very end."""
    times, dice = ddpm.times(steps), torch.Generator().manual_seed(0)
    for t, before in zip(times, times[1:]):
        at = torch.full((len(x),), t, device=x.device)
        guess = ddpm.read(x, network(x, at), t, "picture")
        x = ddpm.ddim_step(x, *guess, t, before, 1.0)
        more = 1 - ddpm.alpha(t, x) / ddpm.alpha(before, x)
        x = x + more ** 0.5 * torch.randn(x.shape, generator=dice).to(x.device)
    return x

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
wanted = torch.arange(24).to(device())
fog = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(3)).to(device())
counts, table = (2, 5, 10, 50), {}
for eta in (0.0, 0.5, 1.0):
    table[f"DDIM, eta {eta:g}"] = [recipe.judge(ddpm.sample(
        lambda x, t: as_ddpm(x, t, wanted), fog, steps, "picture", eta,
        torch.Generator().manual_seed(0)).cpu(), wanted) for steps in counts]
with torch.no_grad():
    table["larger noise"] = [recipe.judge(larger(lambda x, t: as_ddpm(x, t, wanted), fog,
                                                 steps).cpu(), wanted) for steps in counts]
table["flow"] = [recipe.judge(flow.sample(lambda x, t: model(x, t, wanted), fog, steps,
                                          "picture").cpu(), wanted) for steps in counts]

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
print("One picture of each of the 24 kinds: each is 4 points. Right kind, in percent")
print(f"{'steps':<19}" + "".join(f"{steps:8}" for steps in counts))
for name, line in table.items():
    print(f"{name:<19}" + "".join(f"{100 * right:8.0f}" for _, right, _ in line))
print("\ngray levels from clean")
for name, line in table.items():
    print(f"{name:<19}" + "".join(f"{off:8.1f}".replace("nan", "  -") for *_, off in line))
ten, fifty = ({name: line[k][1] for name, line in table.items()} for k in (2, 3))
assert ten.pop("larger noise") < 0.2 and min([*ten.values(), fifty["larger noise"]]) > 0.8

# %% [markdown] slideshow={"slide_type": "subslide"}
# The same shape? **In one point.** Larger noise needs many steps. The noise of its last jump stays on the picture: the longer the jump, the more. With ten steps nothing can be named (a dash: nothing to measure), with fifty it draws as well as the others. In another point, no: for CIFAR-10 $\eta = 1$ is three times as far off as $\eta = 0$ at ten steps. Here ten steps do for every $\eta$, perhaps because our things are simple.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: drag time
# The widget adds noise up to time `t` to a picture and lets the model go back from there, in steps of 1/20. A small `t` gives the picture back. A large one gives **another** thing, in what is left of the first; in between, it may come out broken.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
@torch.no_grad()
def back(x, t, wanted, steps=20):
    """From noisy pictures x at time t to clean ones."""
    times = torch.linspace(t, 0, max(2, round(steps * t) + 1)).tolist()
    for now, then in zip(times, times[1:]):
        at = torch.full((len(x),), now, device=x.device)
        guess, e = flow.read(x, model(x, at, wanted), now, "picture")
        x = flow.step(x, e - guess, now, then)
    return x

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def explore(t=0.8, picture=1, noise=0):
    shown = held_out[picture:picture + 1]
    e = torch.randn(shown.shape, generator=torch.Generator().manual_seed(noise))
    x, wanted = flow.add(shown, e, t).to(device()), torch.tensor([ANYTHING], device=device())
    with torch.no_grad():
        at = torch.tensor([t], device=device())
        guess = model(x, at, wanted)
    row = images(torch.cat([part.cpu() for part in (shown, x, guess, back(x, t, wanted))]))
    fig, axes = plt.subplots(1, 4, figsize=(6.4, 1.9))
    names = ["the picture", f"dissolved, t = {t:g}", "one guess", "step by step"]
    for ax, image, name in zip(axes, row, names):
        show.panel(ax, image, name)
    return fig, (f"A picture, the same with noise at time {t:g}, the model's one guess, and "
                 "what comes back step by step.")


widgets.explorer(explore, t=(0.05, 1.0, 0.05), picture=(0, 40, 1), noise=(0, 20, 1))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Look inside: what is decided when?
# Dissolve 48 pictures up to $t$, let the model go back without being told the kind, and ask the oracle what is still the same, where it sees a thing: color, shape, place (within one pixel). Predict: which is lost first?

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
ts, kept, seen = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), {"color": [], "shape": [], "place": []}, []
before, anything = recipe.read(held_out), torch.full((48,), ANYTHING, device=device())
for t in ts:
    e = torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    x = flow.add(held_out, e, t).to(device())
    out = back(x, t, anything).cpu()
    pairs = [(a[0], b[0]) for a, b in zip(before, recipe.read(out)) if len(b)]
    seen.append(f"{len(pairs)}")
    kept["color"].append(np.mean([a.color == b.color for a, b in pairs]))
    kept["shape"].append(np.mean([a.shape == b.shape for a, b in pairs]))
    kept["place"].append(np.mean([max(abs(a.x - b.x), abs(a.y - b.y)) <= 1 / 64
                                  for a, b in pairs]))
print("of 48 pictures, so many still show a thing:", ", ".join(seen))

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(7.4, 3))
for name, line in kept.items():
    ax.plot(ts, line, marker="o", label=name)
ax.set(xlabel="t up to which it was dissolved", ylabel="still the same", ylim=(0, 1.05),
       title="Up to t = 0.6 nearly everything survives, from pure noise nothing does")
ax.legend()
show.figure(fig, alt="Share of pictures whose color, shape and place are the same after "
                     "dissolving up to t and coming back. All three stay near one up to "
                     "t = 0.6 and fall steeply after it.")
assert all(line[2] > 0.8 and line[-1] < 0.4 for line in kept.values())

# %% [markdown] slideshow={"slide_type": "subslide"}
# None is lost first: all three fall together, from $t = 0.6$ on. What is left at $t = 1$ is luck: of six colors one fits by chance, of four shapes one.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - Noise is added in one go: x = signal · picture + sigma · noise; the weights are square roots of shares of the variance.
# - A network that guesses the picture (or the noise, or the velocity) draws: guess, step, guess again.
# - DDPM adds new noise at each step, DDIM does not and may jump; flow matching is the same way on a straight line with another clock.
# - What a network says matters when it is narrow: noise fills all dimensions, pictures few.
# - Judge by what is drawn. Ten to twenty steps are enough here.

# %% [markdown] template="words"

# %% [markdown]
# ## Exercises
# Six of them, about 105 minutes: `exercises/33_diffusion.ipynb`, which `mmcourse lab` copies to `my_work/`. You will write the closed form and a sampler, hunt an off-by-one in T and a set of pictures in the wrong range, and let the model that draws name pictures.

# %% [markdown]
# ## Sources
# - J. Ho, A. Jain and P. Abbeel (2020), *Denoising diffusion probabilistic models* (DDPM).
# - J. Song, C. Meng and S. Ermon (2021), *Denoising diffusion implicit models* (DDIM).
# - A. Nichol and P. Dhariwal (2021), *Improved DDPM*: the cosine schedule.
# - T. Salimans and J. Ho (2022), *Progressive distillation*: the velocity of diffusion.
# - X. Liu and others (2023), *Flow straight and fast*; Y. Lipman and others (2023), *Flow matching for generative modeling*.
# - W. Peebles and S. Xie (2023), *DiT*; J. Chen and others (2024), *PixArt*.

# %% [markdown]
# - T. Li and K. He (2025), *Back to basics: let denoising generative models denoise* (JiT): say the picture.
# - O. Ronneberger and others (2015), *U-Net*.
