"""The checks of lesson 33 against right and wrong answers: every mistake meets the hint that names it."""

import prove
import torch
import torch.nn.functional as F

from mmcourse import world
from mmcourse.models.text2image import images

RIGHT = {"signal": 0.5, "sigma": 0.87, "fog": -0.5, "loss": 1, "velocity": -1.5, "same": True}


def mix(left=lambda betas, t: torch.cumprod(1 - betas, 0)[t], signal=torch.sqrt, sigma=lambda a: (1 - a).sqrt()):
    """The closed form with one thing done otherwise."""
    def add_noise(pictures, noise, t, betas):
        share = left(betas, t)[:, None, None, None]
        return signal(share) * pictures + sigma(share) * noise
    return add_noise


def one_by_one(pictures, noise, t, betas):
    rows = []
    for picture, e, last in zip(pictures, noise, t.tolist()):
        left = torch.tensor(1.0)
        for beta in betas[:last + 1]:
            left = left * (1 - beta)
        rows.append(picture * left ** 0.5 + e * (1 - left) ** 0.5)
    return torch.stack(rows)


def reading(x, said, now):
    return (x - (1 - now).sqrt() * said) / now.sqrt()


def mixing(picture, said, then, **more):
    return then.sqrt() * picture + (1 - then).sqrt() * said


def rootless(picture, said, then, **more):
    return then * picture + (1 - then) * said


def walk(last=lambda alpha_bar: torch.tensor(1.0), read=reading, mix=mixing, stop=False, one_less=False,
         ask=lambda t, then: t, rows=True):
    """DDIM with one thing done otherwise."""
    def ddim(network, x, alpha_bar, times):
        start, first = x, None
        for t, then in zip(times, [*times[1:], None]):
            if then is None and stop:
                break
            now, after = alpha_bar[t], last(alpha_bar) if then is None else alpha_bar[t - 1 if one_less else then]
            step = ask(t, t if then is None else then)
            said = network(x, torch.full((len(x),), step) if rows else torch.tensor(step))
            first = said if first is None else first
            x = mix(read(x, said, now), said, after, start=start, first=first, now=now, x=x)
        return x
    return ddim


def by_the_library(network, x, alpha_bar, times):
    """The course's own class is right here, too: DDIM's step from one time to the next, -1 at the end."""
    from mmcourse.models.diffusion import Diffusion

    ways = Diffusion(torch.zeros(1))
    ways.alpha_bar = alpha_bar
    for t, then in zip(times, [*times[1:], -1]):
        picture, noise = ways.read(x, network(x, torch.tensor([t] * len(x))), t, "noise")
        x = ways.ddim_step(x, picture, noise, t, then)
    return x


def pair(t=lambda count, total: torch.randint(0, total, (count,)), noise=torch.randn_like, root=torch.sqrt, other=False):
    """A batch for training with one thing done otherwise."""
    def noisy_batch(pictures, alpha_bar):
        steps, e = t(len(pictures), len(alpha_bar)), noise(pictures)
        left = alpha_bar[steps].view(-1, 1, 1, 1)
        return root(left) * pictures + root(1 - left) * (noise(pictures) if other else e), steps, e
    return noisy_batch


def by_the_oracle(network, pictures):
    """The kinds are read off the pixels; the network is not asked what it guesses."""
    network(pictures[:1], torch.full((1,), 0.5), torch.zeros(1, dtype=torch.long))
    scenes = world.read(images(F.pad(pictures, [16] * 4, value=1.0)))
    colors, shapes = list(world.COLORS), list(world.SHAPES)
    return torch.tensor([4 * colors.index(scene[0].color) + shapes.index(scene[0].shape) for scene in scenes])


def namer(t=0.3, best=torch.argmin, colors=range(6), away=lambda kinds: kinds):
    """Name pictures by the network's errors, first the color, as if all were stars; with one thing done otherwise."""
    def name_kinds(network, pictures):
        x = torch.lerp(pictures, torch.randn(pictures.shape), t)

        def errors(kinds):
            picks = x.repeat_interleave(kinds.shape[1], 0)
            guess = network(picks, torch.full((len(picks),), t), kinds.flatten())
            return (guess - pictures.repeat_interleave(kinds.shape[1], 0)).square().mean((1, 2, 3)).view(kinds.shape)
        color = best(errors(torch.tensor([[4 * color + 3 for color in colors]] * len(pictures))), 1)
        return away(4 * color + best(errors(4 * color[:, None] + torch.arange(4)), 1))
    return name_kinds


def some(count, change):
    """Change the first names."""
    return lambda kinds: torch.cat([change(kinds[:count]), kinds[count:]])


def turned(values):
    return values.permute(0, 2, 3, 1)


CORRECT = {                                                   # written otherwise than the course's solutions
    "33.1": [lambda: dict(RIGHT), lambda: {**RIGHT, "sigma": 0.75 ** 0.5, "same": 1, "loss": 1.0}],
    "33.2": [mix(), one_by_one],
    "33.3": [walk(), by_the_library],
    "33.4": [pair(), pair(lambda count, total: (torch.rand(count) * total).long(), lambda x: torch.normal(torch.zeros_like(x)))],
    "33.5": [lambda x: turned(((x + 1) * 127.5).round().clamp(0, 255).byte()),
             lambda x: turned((x.clamp(-1, 1) * 127.5 + 128).floor().clamp(max=255).to(torch.uint8))],
    "33.6": [namer(), namer(t=0.1)],
}

WRONG = [
    ("33.1", "share of the variance", lambda: {**RIGHT, "signal": 0.25}),
    ("33.1", "there are two", lambda: {**RIGHT, "signal": 0.71}),
    ("33.1", "0.75 is the variance", lambda: {**RIGHT, "sigma": 0.75}),
    ("33.1", "holds for flow matching", lambda: {**RIGHT, "sigma": 0.5}),
    ("33.1", "the commonest value", lambda: {**RIGHT, "fog": -1}),
    ("33.1", "the rest is -1", lambda: {**RIGHT, "fog": 0.25}),
    ("33.1", "the noise is not 0", lambda: {**RIGHT, "loss": 0}),
    ("33.1", "the sign is turned", lambda: {**RIGHT, "velocity": 1.5}),
    ("33.1", "where x is", lambda: {**RIGHT, "velocity": 0.05}),
    ("33.1", "is 0.87 in two decimals", lambda: {**RIGHT, "sigma": 0.86}),
    ("33.1", "no new noise", lambda: {**RIGHT, "same": False}),
    ("33.1", "exactly the keys", lambda: {"fog": -0.5}),
    ("33.2", "The square roots are missing", mix(signal=lambda a: a, sigma=lambda a: 1 - a)),
    ("33.2", "The noise's weight lacks", mix(sigma=lambda a: 1 - a)),
    ("33.2", "The picture's weight lacks", mix(signal=lambda a: a)),
    ("33.2", "The weights add up to 1", mix(sigma=lambda a: 1 - a.sqrt())),
    ("33.2", "are swapped", mix(signal=lambda a: (1 - a).sqrt(), sigma=torch.sqrt)),
    ("33.2", "use the `noise` that you are given", lambda p, e, t, b: mix()(p, torch.randn_like(e), t, b)),
    ("33.2", "not taken away", mix(sigma=lambda a: -(1 - a).sqrt())),
    ("33.2", "not beta", mix(lambda betas, t: torch.cumprod(betas, 0)[t])),
    ("33.2", "your index is -1", mix(lambda betas, t: torch.cumprod(1 - betas, 0)[t - 1])),
    ("33.2", "the step after t", mix(lambda betas, t: torch.cumprod(1 - betas, 0)[(t + 1).clamp(max=len(betas) - 1)])),
    ("33.2", "step t alone", mix(lambda betas, t: 1 - betas[t])),
    ("33.2", "Off by one", mix(lambda betas, t: torch.cat([torch.ones(1), torch.cumprod(1 - betas, 0)])[t])),
    ("33.2", "a t of its own", mix(lambda betas, t: torch.cumprod(1 - betas, 0)[t[:1]].repeat(len(t)))),
    ("33.2", "The betas are added up", mix(lambda betas, t: (1 - betas.cumsum(0)).clamp(min=1e-9)[t])),
    ("33.2", "should be float32", lambda p, e, t, b: mix()(p, e, t, b).double()),
    ("33.3", "you take that of step 0", walk(lambda alpha_bar: alpha_bar[0])),
    ("33.3", "index -1 counts from the end", walk(lambda alpha_bar: alpha_bar[-1])),
    ("33.3", "should be called once", walk(stop=True)),
    ("33.3", "only noise is left", walk(lambda alpha_bar: torch.tensor(0.0))),
    ("33.3", "and not t - 1", walk(one_less=True)),
    ("33.3", "The square roots are missing: ", walk(read=lambda x, said, now: (x - (1 - now) * said) / now, mix=rootless)),
    ("33.3", "missing where the picture is read", walk(read=lambda x, said, now: (x - (1 - now) * said) / now)),
    ("33.3", "missing where picture and noise are mixed", walk(mix=rootless)),
    ("33.3", "is taken away from x", walk(read=lambda x, said, now: (x + (1 - now).sqrt() * said) / now.sqrt())),
    ("33.3", "divided by the picture's weight", walk(read=lambda x, said, now: x - (1 - now).sqrt() * said)),
    ("33.3", "added, not taken away", walk(mix=lambda picture, said, then, **more: mixing(picture, -said, then))),
    ("33.3", "the weights are swapped", walk(mix=lambda picture, said, then, **more: mixing(picture, said, 1 - then))),
    ("33.3", "at the very beginning", walk(mix=lambda picture, said, then, start, **more: mixing(picture, start, then))),
    ("33.3", "again and again", walk(mix=lambda picture, said, then, first, **more: mixing(picture, first, then))),
    ("33.3", "x less its picture", walk(mix=lambda picture, said, then, now, x, **more: mixing(picture, x - now.sqrt() * picture, then))),
    ("33.3", "still that of this one", walk(
        mix=lambda picture, said, then, now, **more: then.sqrt() * picture + (1 - now).sqrt() * said)),
    ("33.3", "is cut off to -1 to 1", walk(read=lambda x, said, now: reading(x, said, now).clamp(-1, 1))),
    ("33.3", "not where DDIM ends", lambda *given: walk()(*given) + 0.1),
    ("33.3", "not where DDIM ends", walk(lambda alpha_bar: torch.tensor(0.999))),
    ("33.3", "was asked about step", walk(ask=lambda t, then: then)),
    ("33.3", "a tensor (B,)", walk(rows=False)),
    ("33.3", "there is no fresh noise", walk(mix=lambda picture, said, then, **more: mixing(picture, torch.randn_like(said), then))),
    ("33.6", "numbers the kinds otherwise", by_the_oracle),
    ("33.4", "The last step, T - 1, never comes", pair(lambda count, total: torch.randint(0, total - 1, (count,)))),
    ("33.4", "share one drawn step", pair(lambda count, total: torch.randint(total, (count // 2,)).repeat(2))),
    ("33.4", "share one drawn step", pair(lambda count, total: torch.randint(total, (count // 2,)).repeat_interleave(2))),
    ("33.4", "changes `alpha_bar`", lambda pictures, alpha_bar: pair()(pictures, alpha_bar.sqrt_().square())),
    ("33.4", "Step 0 never comes", pair(lambda count, total: torch.randint(1, total, (count,)))),
    ("33.4", "There is no step", pair(lambda count, total: torch.randint(0, total + 1, (count,)))),
    ("33.4", "There is no step", pair(lambda count, total: torch.randint(1, total + 1, (count,)))),
    ("33.4", "equally likely", pair(lambda count, total: (torch.rand(count) * (total - 1)).round().long())),
    ("33.4", "equally likely", pair(lambda count, total: torch.randint(0, total + 1, (count,)).clamp(max=total - 1))),
    ("33.4", "a fixed order", pair(lambda count, total: torch.arange(count) % total)),
    ("33.4", "a fixed order", pair(lambda count, total: torch.randint(total, (count,)).sort()[0])),
    ("33.4", "anew at each call", pair(noise=lambda x: torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))),
    ("33.4", "share their noise", pair(noise=lambda x: torch.randn_like(x[:len(x) // 2]).repeat(2, 1, 1, 1))),
    ("33.4", "All rows", pair(noise=lambda x: torch.randn_like(x[:, :, :1]).expand_as(x).clone())),
    ("33.4", "All columns", pair(noise=lambda x: torch.randn_like(x[..., :1]).expand_as(x).clone())),
    ("33.4", "has the spread", pair(noise=lambda x: 0.9 * torch.randn_like(x))),
    ("33.4", "is not normal", pair(noise=lambda x: 12 ** 0.5 * (torch.rand_like(x) - 0.5))),
    ("33.4", "changes `pictures`", lambda pictures, alpha_bar: pair()(pictures.mul_(2), alpha_bar)),
    ("33.4", "the same step", pair(lambda count, total: torch.randint(0, total, (1,)).repeat(count))),
    ("33.4", "get the same noise", pair(noise=lambda x: torch.randn(x.shape[1:]).expand_as(x).clone())),
    ("33.4", "All colors of a picture", pair(noise=lambda x: torch.randn(len(x), 1, 1, 1).expand_as(x).clone())),
    ("33.4", "randn, not rand", pair(noise=torch.rand_like)),
    ("33.4", "has the spread", pair(noise=lambda x: 2 * torch.randn_like(x))),
    ("33.4", "square roots of alpha bar", pair(root=lambda a: a)),
    ("33.4", "the very noise that is in x", pair(other=True)),
    ("33.4", "Return three things", lambda pictures, alpha_bar: pictures),
    ("33.5", "to go from 0 to 1", lambda x: turned((x * 255).to(torch.int64) % 256).to(torch.uint8)),
    ("33.5", "to go from 0 to 1", lambda x: turned((x * 255).round().clamp(0, 255)).byte()),
    ("33.5", "come around at the other end", lambda x: turned(((x + 1) * 127.5).round().long() % 256).byte()),
    ("33.5", "round them", lambda x: turned(((x + 1) * 127.5).clamp(0, 255).byte())),
    ("33.5", "Everything below 0", lambda x: turned(((x.clamp(0, 1) + 1) * 127.5).round().byte())),
    ("33.5", "reshape tears", lambda x: ((x + 1) * 127.5).round().clamp(0, 255).byte().reshape(len(x), *x.shape[2:], 3)),
    ("33.5", "Cut off below", lambda x: turned((((x + 1) * 127.5).round().clamp(max=255).long() % 256).byte())),
    ("33.5", "Cut off above", lambda x: turned((((x + 1) * 127.5).round().clamp(min=0).long() % 256).byte())),
    ("33.5", "become 255 levels", lambda x: turned((x * 127 + 128).round().clamp(0, 255).byte())),
    ("33.5", "become 255 levels", lambda x: turned(((x + 1) * 128).clamp(0, 255).byte())),
    ("33.5", "should have the shape", lambda x: turned(((x + 1) * 127.5).round().clamp(0, 255).byte()).squeeze(0)),
    ("33.5", "Red and blue", lambda x: turned(((x + 1) * 127.5).round().clamp(0, 255).byte()).flip(-1)),
    ("33.5", "should have the shape", lambda x: ((x + 1) * 127.5).round().clamp(0, 255).byte()),
    ("33.6", "hardly better than a guess", namer(best=torch.argmax)),
    ("33.6", "hardly better than a guess", namer(away=lambda kinds: (kinds + 5) % 24)),
    ("33.6", "The color is right for", namer(away=lambda kinds: kinds // 4 * 4 + (kinds + 1) % 4)),
    ("33.6", "Nearly", namer(away=some(6, lambda kinds: (kinds + 1) % 24))),
    ("33.6", "one too small", namer(away=lambda kinds: (kinds - 1).clamp(min=0))),
    ("33.6", "and you return", namer(away=lambda kinds: kinds - 24)),
    ("33.6", "10 are allowed", namer(colors=(*range(6), 0))),
    ("33.6", "takes three tensors", lambda network, pictures: network(pictures, 0.5, torch.zeros(len(pictures), dtype=int))),
    ("33.6", "as many times and kinds as pictures", lambda network, pictures: network(
        pictures, torch.tensor(0.5), torch.arange(24)).argmax(1)),
    ("33.6", "The network was not asked", lambda network, pictures: torch.zeros(len(pictures), dtype=torch.int64)),
    ("33.6", "should have the shape", lambda network, pictures: torch.zeros(3, dtype=torch.int64)),
    ("33.5", "should be uint8", lambda x: turned(((x + 1) * 127.5).round().clamp(0, 255))),
]

test_right_answers_written_otherwise_pass, test_every_mistake_meets_its_hint = prove.tests_of(CORRECT, WRONG)
