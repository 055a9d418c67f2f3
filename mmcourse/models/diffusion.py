"""Diffusion: noise turned into pictures, step by step (lesson 33). Pictures and noise are (B, ...), pictures in [-1, 1]."""

import torch
from torch import nn

from mmcourse.models.attention import MultiHeadAttention
from mmcourse.models.dit import DiT, TimeEmbedding

KINDS = ("noise", "velocity", "picture")
ANYTHING = 24                              # the number of the kind that stands for all 24 of them


def linear_betas(steps=1000, first=1e-4, last=0.02):
    """How much noise each step adds, as a variance: (steps,) (Ho et al. 2020)."""
    return torch.linspace(first, last, steps)


def cosine_betas(steps=1000, most=0.999):
    """The same so that what is left of the picture falls as a squared cosine (Nichol and Dhariwal 2021)."""
    left = torch.cos((torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * torch.pi / 2) ** 2
    return (1 - left[1:] / left[:-1]).clamp(max=most).float()


class Path:
    """A way from pictures to noise: x = signal * picture + sigma * noise, with weights that depend on the time t.

    A subclass has levels(t, x): the weights signal and sigma at t (a number, or one for each of a batch (B,)), shaped to
    multiply x; and turn(t, x): the weights (a, b) of its velocity, a * noise - b * picture.
    """

    def add(self, picture, noise, t):
        """The noisy picture x at time t, in one go."""
        signal, sigma = self.levels(t, picture)
        return signal * picture + sigma * noise

    def velocity(self, picture, noise, t):
        """Which way x goes as time goes on."""
        a, b = self.turn(t, picture)
        return a * noise - b * picture

    def read(self, x, said, t, kind):
        """What a network's output says of x at time t: (picture, noise). kind: which of KINDS the output is."""
        signal, sigma = self.levels(t, x)
        if kind == "noise":
            return (x - sigma * said) / signal, said
        if kind == "picture":
            return said, (x - signal * said) / sigma
        if kind == "velocity":
            a, b = self.turn(t, x)                        # 1 and 1 for flow
            return a * x - sigma * said, b * x + signal * said
        raise ValueError(f"A network cannot predict {kind!r}: choose one of {', '.join(KINDS)}.")


class Diffusion(Path):
    """The way of DDPM (Ho et al. 2020): T steps, numbered 0 to T - 1; step t adds noise of variance betas[t]."""

    def __init__(self, betas):
        self.alpha_bar = torch.cumprod(1 - betas, 0)

    def alpha(self, t, x):
        """How much of the picture's variance is left after step t, shaped for x; all of it before step 0 (t = -1)."""
        t = torch.as_tensor(t).cpu()                        # where alpha_bar is
        if t.is_floating_point() or t.min() < -1 or t.max() >= len(self.alpha_bar):
            raise ValueError(f"There is no step {t.tolist()}: steps are whole numbers from 0 to {len(self.alpha_bar) - 1}.")
        left = torch.where(t < 0, torch.ones(()), self.alpha_bar[t])
        return left.view(-1, *[1] * (x.ndim - 1)).to(x.device)

    def levels(self, t, x):
        left = self.alpha(t, x)
        return left ** 0.5, (1 - left) ** 0.5

    turn = levels                                           # x goes around a circle: Salimans and Ho 2022

    def ddpm_step(self, x, picture, t, before, fresh):
        """From step t to the earlier step `before`, with new noise `fresh` (Ho et al. 2020, eq. 7): x there."""
        now, then = self.alpha(t, x), self.alpha(before, x)
        kept = now / then                                   # what the steps in between leave of the variance
        mean = then ** 0.5 * (1 - kept) / (1 - now) * picture + kept ** 0.5 * (1 - then) / (1 - now) * x
        return mean + ((1 - then) / (1 - now) * (1 - kept)) ** 0.5 * fresh

    def ddim_step(self, x, picture, noise, t, before, eta=0.0, fresh=0.0):
        """The same with less new noise (Song et al. 2021, eq. 12 and 16): none for eta = 0, as much as DDPM's for 1."""
        now, then = self.alpha(t, x), self.alpha(before, x)
        new = eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        return then ** 0.5 * picture + (1 - then - new ** 2).clamp(min=0) ** 0.5 * noise + new * fresh

    def times(self, steps):
        """`steps` of the T steps, evenly spaced, from the last one down, and -1 at the end."""
        total = len(self.alpha_bar)
        if not 1 <= steps <= total:
            raise ValueError(f"A picture takes 1 to {total} steps, and not {steps}.")
        return [round(total - total * k / steps) - 1 for k in range(steps + 1)]

    @torch.no_grad()
    def sample(self, network, x, steps, kind, eta=0.0, generator=None):
        """Noise x -> pictures, by DDIM; eta = 1 is DDPM. network(x, t (B,)) predicts what `kind` says."""
        times = self.times(steps)
        for t, before in zip(times, times[1:]):
            picture, noise = self.read(x, network(x, torch.full((len(x),), t, device=x.device)), t, kind)
            fresh = torch.randn(x.shape, generator=generator).to(x.device) if eta else 0.0
            x = self.ddim_step(x, picture, noise, t, before, eta, fresh)
        return x


class Flow(Path):
    """The straight way, from t = 0 (picture) to t = 1 (noise) (Liu et al. 2023, Lipman et al. 2023)."""

    def levels(self, t, x):
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        if t.min() < 0 or t.max() > 1:
            raise ValueError(f"There is no time {t.tolist()}: times go from 0 (picture) to 1 (noise).")
        t = t.view(-1, *[1] * (x.ndim - 1))
        return 1 - t, t

    def turn(self, t, x):
        return 1.0, 1.0

    def step(self, x, velocity, now, then):
        """From time `now` to time `then`, straight on (Euler)."""
        return x + (then - now) * velocity

    @torch.no_grad()
    def sample(self, network, x, steps, kind):
        """Noise x -> pictures, in straight steps. network(x, t (B,)) predicts what `kind` says."""
        if steps < 1:
            raise ValueError(f"A picture takes 1 step or more, and not {steps}.")
        if kind == "noise":
            raise ValueError("At time 1 all is noise, and knowing it tells nothing of the picture: predict another of the kinds.")
        times = torch.linspace(1, 0, steps + 1).tolist()
        for now, then in zip(times, times[1:]):
            picture, noise = self.read(x, network(x, torch.full((len(x),), now, device=x.device)), now, kind)
            x = self.step(x, noise - picture, now, then)
        return x


class ResBlock(nn.Module):
    """Two convolutions, with the time added in between: x (B, C, H, W), time (B, D) -> (B, E, H, W)."""

    def __init__(self, channels, out, d_time, groups=8):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, channels, 1e-6), nn.Conv2d(channels, out, 3, padding=1)
        self.time = nn.Linear(d_time, out)
        self.norm2, self.conv2 = nn.GroupNorm(groups, out, 1e-6), nn.Conv2d(out, out, 3, padding=1)
        self.pass_by = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(nn.functional.silu(self.norm1(x))) + self.time(nn.functional.silu(time))[:, :, None, None]
        return self.pass_by(x) + self.conv2(nn.functional.silu(self.norm2(h)))


class UNet(nn.Module):
    """Down to a small map, and up again with what was seen on the way (Ronneberger et al. 2015, Ho et al. 2020).

    forward(noisy (B, 3, H, W), times (B,), kinds (B,) from 0 to 24) -> (B, 3, H, W); H and W are multiples of 4.
    """

    def __init__(self, width=32):
        super().__init__()
        self.time, self.kind = TimeEmbedding(2 * width), nn.Embedding(ANYTHING + 1, 2 * width)
        self.stem = nn.Conv2d(3, width, 2, stride=2)                                # H/2
        self.down = ResBlock(width, width, 2 * width)
        self.smaller = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)          # H/4
        self.deep = ResBlock(2 * width, 2 * width, 2 * width)
        self.norm, self.attend = nn.GroupNorm(8, 2 * width), MultiHeadAttention(2 * width, 4)
        self.deeper = ResBlock(2 * width, 2 * width, 2 * width)
        self.larger = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * width, width, 3, padding=1))
        self.up = ResBlock(2 * width, width, 2 * width)
        self.output = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, noisy, t, kind):
        time = self.time(t) + self.kind(kind)
        high = self.down(self.stem(noisy), time)
        low = self.deep(self.smaller(high), time)
        cells = self.norm(low).flatten(2).transpose(1, 2)                           # (B, N, 2 * width)
        low = low + self.attend(cells)[0].transpose(1, 2).view_as(low)
        low = self.deeper(low, time)
        return self.output(self.up(torch.cat([high, self.larger(low)], 1), time))


class KindDiT(nn.Module):
    """A DiT that is told which kind of thing to draw: its context is one token.

    forward(noisy (B, 3, S, S), times (B,), kinds (B,) from 0 to 24) -> (B, 3, S, S).
    """

    def __init__(self, size=32, patch_size=8, d_model=96, num_heads=4, num_layers=4):
        super().__init__()
        self.kind = nn.Embedding(ANYTHING + 1, d_model)
        self.dit = DiT(size, patch_size, d_model, num_heads, num_layers, d_context=d_model)

    def forward(self, noisy, t, kind):
        return self.dit(noisy, t, self.kind(kind)[:, None])
