"""Checks of lesson 33, diffusion. Truth: hand numbers and loops in float64; the oracle judges what a model draws or names."""

import math

import torch

from mmcourse import zoo
from mmcourse.checks import close, exercise, expect, numbers, same, takes, tensor
from mmcourse.models.diffusion import ANYTHING
from mmcourse.recipes import diffusion


@exercise("33.1", points=2)
def predictions(answer):
    got = numbers(answer, "signal", "sigma", "fog", "loss", "velocity", "same")

    def is_(name, value):
        return abs(got[name] - value) < 0.006
    expect(not is_("signal", 0.25), '"signal": 0.25 is the share of the variance that is left. Pixels are multiplied by its '
                                    "square root.")
    expect(is_("signal", 0.5), '"signal": each step multiplies by the square root of 1 - 0.5, and there are two.')
    expect(not is_("sigma", 0.75), '"sigma": 0.75 is the variance of the noise. Its weight is the square root.')
    expect(not is_("sigma", 0.5), '"sigma": signal + sigma = 1 holds for flow matching. Here it is the squares that add up to '
                                  "1.")
    expect(got["sigma"] != 0.86, '"sigma": 0.866 is 0.87 in two decimals.')
    expect(is_("sigma", 0.87), '"sigma": signal squared + sigma squared = 1.')
    expect(not is_("fog", -1), '"fog": -1 is the commonest value. In squared error the mean is the best guess.')
    expect(not is_("fog", 0.25), '"fog": a quarter of the pictures is 1, but the rest is -1, not 0.')
    expect(is_("fog", -0.5), '"fog": the mean of 1, -1, -1 and -1.')
    expect(not is_("loss", 0), '"loss": the network says 0 and the noise is not 0.')
    expect(is_("loss", 1), '"loss": the mean of the squares of numbers with mean 0 and variance 1.')
    expect(not is_("velocity", 1.5), '"velocity": the sign is turned. Time goes from the picture (0) to the noise (1).')
    expect(not is_("velocity", 0.05), '"velocity": this is where x is at t = 0.3. How fast does it go?')
    expect(is_("velocity", -1.5), '"velocity": noise - picture, at every t.')
    expect(got["same"] == True, '"same": with eta = 0 no new noise comes in on the way.')        # noqa: E712


@exercise("33.2", points=3)
def add_noise(answer):
    takes(answer, "pictures", "noise", "t", "betas")
    total, size = int(torch.randint(8, 14, ())), int(torch.randint(3, 6, ()))
    betas, (pictures, noise) = torch.rand(total) * 0.3 + 0.02, torch.randn(2, 6, 3, size, 4)
    t = torch.tensor([0, total - 1, *torch.randperm(total - 2)[:4].add(1).tolist()])[torch.randperm(6)]
    got = answer(pictures.clone(), noise.clone(), t.clone(), betas.clone())
    tensor(got, pictures.shape, torch.float32)
    expect(same(got, answer(pictures.clone(), noise.clone(), t.clone(), betas.clone())),
           "Twice from the same inputs, two results: use the `noise` that you are given.")

    def mixed(left, signal=math.sqrt, sigma=lambda a: math.sqrt(1 - a)):
        return torch.stack([signal(a) * p.double() + sigma(a) * e.double() for p, e, a in zip(pictures, noise, left)])
    alphas = [math.prod(1 - b for b in betas[:s + 1].tolist()) for s in range(total)]
    lefts = [alphas[s] for s in t]
    expect(not same(got, mixed(lefts, lambda a: a, lambda a: 1 - a)), "The square roots are missing: alpha bar is a share of "
                                                                      "the variance.")
    expect(not same(got, mixed(lefts, sigma=lambda a: 1 - a)), "The noise's weight lacks its square root.")
    expect(not same(got, mixed(lefts, lambda a: a)), "The picture's weight lacks its square root.")
    expect(not same(got, mixed(lefts, sigma=lambda a: 1 - math.sqrt(a))), "The weights add up to 1 here. It is their squares "
                                                                          "that should: the noise's is the root of 1 - alpha "
                                                                          "bar.")
    expect(not same(got, mixed(lefts, lambda a: math.sqrt(1 - a), math.sqrt)), "The two weights are swapped: at a small t there "
                                                                               "is much picture and little noise.")
    expect(not same(got, mixed(lefts, sigma=lambda a: -math.sqrt(1 - a))), "The noise is added, not taken away.")
    expect(not same(got, mixed([math.prod(betas[:s + 1].tolist()) for s in t.tolist()])), "Multiply 1 - beta, not beta.")
    expect(not same(got, mixed([alphas[s - 1] for s in t])), "Off by one: step t itself counts, too. And at t = 0 your index is "
                                                             "-1, which is the last step.")
    expect(not same(got, mixed([alphas[min(s + 1, total - 1)] for s in t])), "Off by one: you take the step after t.")
    expect(not same(got, mixed([1 - betas[s].item() for s in t.tolist()])), "This is the noise of step t alone. All steps up "
                                                                            "to t count: their 1 - beta are multiplied.")
    expect(not same(got, mixed([math.prod(1 - b for b in betas[:s].tolist()) for s in t.tolist()])),
           "Off by one: step t itself counts, too. At t = 0 there is already some noise.")
    expect(not same(got, mixed([lefts[0]] * 6)), "All pictures get the noise of the first one's step: each has a t of its own.")
    sums = [max(1 - betas[:s + 1].sum().item(), 1e-9) for s in t.tolist()]
    expect(not same(got, mixed(sums)), "The betas are added up. The shares that are left, 1 - beta, have to be multiplied.")
    close(got, mixed(lefts).float(), "These are not the pictures after step t.", 1e-4)


def _curved(weights):
    """A network with a memory of what it was asked: says the noise (B, 10) of x (B, 10) at steps t (B,)."""
    asked = []

    def network(x, t):
        asked.append((tuple(x.shape), t))
        t = torch.as_tensor(t).to(x.dtype).reshape(-1, 1) / 1000
        return torch.tanh(x @ weights.to(x.dtype)) * (1 + t)
    return network, asked


@exercise("33.3", points=4)
def ddim(answer):
    takes(answer, "network", "x", "alpha_bar", "times")
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.004, 1000) * (0.9 + 0.2 * torch.rand(())), 0)      # ends near 0.13
    x, weights = torch.randn(6, 10), torch.randn(10, 10) / 2
    times = [999, *sorted(torch.randint(200, 950, (3,)).tolist(), reverse=True), 120]
    network, asked = _curved(weights)
    got = answer(network, x.clone(), alpha_bar.clone(), list(times))
    tensor(got, (6, 10), torch.float32)
    expect(len(asked) == len(times), f"The network should be called once for each of the {len(times)} entries of `times`, and "
                                     f"you called it {len(asked)} times.")
    for (shape, t), step in zip(asked, times):
        expect(isinstance(t, torch.Tensor) and t.shape == (6,), "The network wants a step for each row of x: a tensor (B,).")
        expect(t.dtype == torch.int64, f"The steps that the network is told should be int64, not {str(t.dtype)[6:]}.")
        expect(bool((t == step).all()), f"The network was asked about step {t[0].item()} where x is at step {step}: it has to "
                                        "know how noisy x is now.")

    def read(y, said, now):
        return (y - (1 - now) ** 0.5 * said) / now ** 0.5

    def mix(picture, said, then, **more):
        return then ** 0.5 * picture + (1 - then) ** 0.5 * said

    def walk(last=1.0, read=read, mix=mix, lefts=None):
        y, first, nows = x.double(), None, [alpha_bar[s].item() for s in times]
        for step, now, then in zip(times, nows, lefts or [*nows[1:], last]):
            said = _curved(weights)[0](y, torch.full((6,), step))
            first = said if first is None else first
            y = mix(read(y, said, now), said, then, now=now, first=first, y=y)
        return y
    before = [alpha_bar[s - 1].item() for s in times]
    for hint, wrong in {
            "After the last step alpha bar is 1, a clean picture; you take that of step 0.": walk(alpha_bar[0].item()),
            "After the last step alpha bar is 1; you take that of the noisiest step (index -1 counts from the end).":
                walk(alpha_bar[-1].item()),
            "After the last step alpha bar is 1, a clean picture; with 0 only noise is left.": walk(0.0),
            "The next step is the next entry of `times`, and not t - 1.": walk(lefts=[*before[:-1], 1.0]),
            "The square roots are missing: alpha bar is a share of the variance.": walk(
                read=lambda y, said, now: (y - (1 - now) * said) / now,
                mix=lambda picture, said, then, **more: then * picture + (1 - then) * said),
            "The square roots are missing where the picture is read from x.": walk(
                read=lambda y, said, now: (y - (1 - now) * said) / now),
            "The square roots are missing where picture and noise are mixed.": walk(
                mix=lambda picture, said, then, **more: then * picture + (1 - then) * said),
            "To read the picture, the noise is taken away from x, not added.": walk(
                read=lambda y, said, now: (y + (1 - now) ** 0.5 * said) / now ** 0.5),
            "To read the picture, x less its noise has to be divided by the picture's weight.": walk(
                read=lambda y, said, now: y - (1 - now) ** 0.5 * said),
            "In the mix the noise is added, not taken away.": walk(
                mix=lambda picture, said, then, **more: then ** 0.5 * picture - (1 - then) ** 0.5 * said),
            "In the mix the weights are swapped: the picture gets the root of alpha bar.": walk(
                mix=lambda picture, said, then, **more: (1 - then) ** 0.5 * picture + then ** 0.5 * said),
            "You mix in x as it was at the very beginning. Mix in what the network says at this step.": walk(
                mix=lambda picture, said, then, **more: mix(picture, x.double(), then)),
            "You mix in what the network said at the first step, again and again. Mix in what it says at this step.": walk(
                mix=lambda picture, said, then, first, **more: mix(picture, first, then)),
            "You mix in x less its picture. Divided by the noise's weight, that would be the noise.": walk(
                mix=lambda picture, said, then, now, y, **more: mix(picture, y - now ** 0.5 * picture, then)),
            "The picture gets the weight of the next step, the noise still that of this one.": walk(
                mix=lambda picture, said, then, now, **more: then ** 0.5 * picture + (1 - now) ** 0.5 * said),
            "The guessed picture is cut off to -1 to 1. This helps with some networks; here it is not asked for.": walk(
                read=lambda y, said, now: read(y, said, now).clamp(-1, 1))}.items():
        expect(not same(got, wrong, 1e-3), hint)
    again = answer(_curved(weights)[0], x.clone(), alpha_bar.clone(), list(times))
    expect(same(got, again), "Twice from the same start, two results: with eta = 0 there is no fresh noise.")
    close(got, walk().float(), "This is not where DDIM ends.", 1e-3)


@exercise("33.4", points=4)
def noisy_batch(answer):
    takes(answer, "pictures", "alpha_bar")
    total, count = int(torch.randint(4, 8, ())), 6000
    alpha_bar, pictures = torch.linspace(0.9, 0.01, total), torch.randn(count, 2, 3, 3)
    given, left = pictures.clone(), alpha_bar.clone()
    try:
        out, again = answer(given, left), answer(pictures.clone(), alpha_bar.clone())
    except IndexError:
        expect(False, f"There is no step {total} when T is {total}: t goes from 0 to T - 1, and randint never gives its second "
                      "number.")
    expect(isinstance(out, (tuple, list)) and len(out) == 3, "Return three things: the noisy pictures, t and the noise.")
    x, t, noise = out
    tensor(t, (count,), torch.int64, "t")
    tensor(noise, pictures.shape, torch.float32, "The noise")
    tensor(x, pictures.shape, torch.float32, "The noisy pictures")
    expect(torch.equal(given, pictures), "Your function changes `pictures` themselves, which training needs again: make new ones.")
    expect(torch.equal(left, alpha_bar), "Your function changes `alpha_bar` itself, which the next batch needs again.")
    came = torch.bincount(t.clamp(min=0), minlength=total)
    expect(t.min() >= 0 and t.max() < total, f"t goes from {t.min()} to {t.max()}: with T = {total} steps it should be 0 to "
                                             f"{total - 1}.")
    expect((came > 0).sum() > 1, "All pictures of the batch have the same step: draw one for each.")
    expect(came[-1] > 0, "The last step, T - 1, never comes: randint does not give its second number. From there every picture "
                         "begins.")
    expect(came[0] > 0, "Step 0 never comes: t counts from 0.")
    expect((came * total / count - 1).abs().max() < 0.2, f"The steps come {came.tolist()} times in {count}: all should be equally "
                                                         "likely.")
    expect((t[1:] < t[:-1]).any() and not torch.equal(t, again[1]), "The steps come in a fixed order: draw each by chance.")
    expect(max((t[k:] == t[:-k]).float().mean() for k in (1, count // 2)) < 0.5, "Several pictures of the batch share one drawn step: "
           "draw one for each.")
    expect(not torch.equal(noise, again[2]), "Two batches get the same noise: draw it anew at each call.")
    expect(noise.std(0).min() > 0.1, "All pictures of the batch get the same noise: draw noise for each.")
    for axis, name in enumerate(("colors", "rows", "columns"), 1):
        expect(noise.diff(dim=axis).any(), f"All {name} of a picture get the same noise: draw each number anew.")
    expect(len(noise.flatten(1).unique(dim=0)) == count, "Some pictures of the batch share their noise: draw noise for each.")
    expect(abs(noise.mean()) < 0.03, f"The noise has the mean {noise.mean():.2f}: it should be normal, around 0 (randn, not "
                                     "rand).")
    expect(abs(noise.std() - 1) < 0.03, f"The noise has the spread {noise.std():.2f}, and should have 1.")
    expect(abs(noise.pow(4).mean() - 3) < 0.3, "The noise has the right mean and spread, but is not normal: use randn.")
    left = alpha_bar[t].view(-1, 1, 1, 1)
    expect(not same(x, left * pictures + (1 - left) * noise), "The square roots of alpha bar are missing.")
    close(x, left.sqrt() * pictures + (1 - left).sqrt() * noise, "x is not made of this t and this noise: the network is to "
                                                                 "guess the very noise that is in x.", 1e-4)


@exercise("33.5", points=3)
def to_pixels(answer):
    takes(answer, "x")
    for count, high, wide in ((2, 4, 5), (1, 5, 4)):
        near = torch.randint(-24, 280, (count, 3, high, wide))
        near = near + torch.tensor([0.2, 0.8])[torch.randint(2, near.shape)]
        x = near / 127.5 - 1                               # never in the middle between two whole numbers: all round alike
        x[0, :, 0, 0], x[-1, :, 0, 1] = 1.02, -1.02
        _pixels(answer(x.clone()), x)


def _pixels(got, x):
    """Are these the pixels of x (B, 3, H, W)?"""
    count, _, high, wide = x.shape
    tensor(got, (count, high, wide, 3), torch.uint8, "What you return")
    levels = (x.double() + 1) * 127.5

    def pixels(values):
        return values.long() % 256

    def last(values):
        return values.permute(0, 2, 3, 1)
    right = last(levels.round().clamp(0, 255))
    got = got.long()
    expect(not same(got, right.flip(-1)), "Red and blue are swapped.")
    for name, values in (("", levels.round().clamp(0, 255)), ("x * 255 and ", (x.double() * 255).round().clamp(0, 255))):
        expect(not same(got, values.reshape(count, high, wide, 3), 1),
               f"{name or 'The values are right, but '}reshape tears the picture: move the axis of the colors with permute.")
    zero_one = last(x.double() * 255)
    for form in (zero_one, zero_one.round()):
        expect(not same(got, pixels(form), 0) and not same(got, form.clamp(0, 255).long(), 0),
               "This takes x to go from 0 to 1. It goes from -1 to 1: add 1 first.")
    for form in (last(levels), last(levels).round()):
        expect(not same(got, pixels(form), 0), "Values outside of -1 to 1 come around at the other end (256 is 0 again): cut them "
                                               "off before you convert.")
    for hint, form in {"Cut off below -1, too: there pixels come around at the other end.": levels.round().clamp(max=255),
                       "Cut off above 1, too: there pixels come around at the other end.": levels.round().clamp(min=0)}.items():
        expect(not same(got, pixels(last(form)), 0), hint)
    for form in ((x.double() + 1) * 128, x.double() * 128 + 127, x.double() * 127 + 128):
        expect(not same(got, last(form.round().clamp(0, 255)), 0) and not same(got, last(form.clamp(0, 255)).long(), 0),
               "From -1 to 1 are two units, and they become 255 levels: (x + 1) * 127.5.")
    expect(not same(got, last(levels.clamp(0, 255)).long(), 0), "The values are cut to whole numbers, which makes all pictures a "
                                                                "little darker: round them.")
    ends = last(levels).round()
    expect(not same(got, last(((x.clamp(0, 1) + 1) * 127.5)).double().round(), 0),
           "Everything below 0 is cut off: inside of models pictures begin at -1.")
    wrong = (got - right).abs() > 0
    if bool(wrong.any()):
        place = tuple(int(i) for i in wrong.nonzero()[0])
        expect(False, f"At {place} the pixel should be {int(right[place])}, and is {int(got[place])}. (Before what lies outside is "
                      f"cut off, it is {ends[place]:.0f}.)")


@exercise("33.6", points=4)
def name_kinds(answer):
    takes(answer, "network", "pictures")
    model, count, asked, wrong = zoo.load("diffusion").cpu(), 48, 0, []

    @torch.no_grad()
    def network(x, t, kinds):
        nonlocal asked
        if not all(isinstance(part, torch.Tensor) for part in (x, t, kinds)):
            wrong.append("The network takes three tensors: noisy pictures (N, 3, 32, 32), times (N,) and kinds (N,).")
            return x
        asked += len(x)
        if x.shape[1:] != (3, 32, 32) or t.shape != x.shape[:1] or kinds.shape != x.shape[:1]:
            wrong.append("The network takes as many times and kinds as pictures: x is "
                         f"{tuple(x.shape)}, t {tuple(t.shape)}, kinds {tuple(kinds.shape)}.")
        elif len(kinds) and (kinds.min() < 0 or kinds.max() > ANYTHING):
            wrong.append(f"Kinds are numbers from 0 to 23, and one is {kinds.max() if kinds.max() > ANYTHING else kinds.min()}.")
        elif asked > 10 * count:
            wrong.append(f"The network looked at more than 10 noisy pictures for each of {count} pictures: 10 are allowed.")
        return torch.zeros_like(x) if wrong else model(x, t, names[kinds])
    first, names = int(torch.randint(2 ** 40, 2 ** 60, ())), torch.arange(ANYTHING + 1)
    pictures, kinds = diffusion.shown(range(first, first + count))
    got = answer(network, pictures.clone())
    expect(not wrong, *wrong[:1] or [""])
    tensor(got, (count,), torch.int64, "What you return")
    expect(asked > 0, "The network was not asked: it is the one that knows the kinds.")
    expect(0 <= got.min() and got.max() < 24, f"Kinds are numbers from 0 to 23, and you return {got.min()} to {got.max()}.")
    score = (got == kinds).float().mean().item()
    print(f"{score:.0%} of {count} pictures are named rightly in {asked / count:.1f} looks each (target: 90% in at most 10; a "
          "random guess: 4%).")
    expect((got + 1 == kinds).float().mean() < 0.6, "Your numbers are one too small: kinds count from 0.")
    if score >= 0.9:
        turn, asked = 4 * int(torch.randint(1, 6, ())), 0
        names = torch.cat([torch.arange(24).roll(turn), names[-1:]])
        again = answer(network, pictures.clone())
        tensor(again, (count,), torch.int64, "What you return")
        expect(not wrong, *wrong[:1] or [""])
        known = (names[again.clamp(0, 23)] == kinds).float().mean().item()
        expect(known >= 0.6, "Asked with a network that numbers the kinds otherwise, you give the same names: they have to come from "
                             "what the network guesses, not from the pixels or another model.")
    color, shape = ((got // 4 == kinds // 4).float().mean().item(), (got % 4 == kinds % 4).float().mean().item())
    expect(color > 0.4 or shape > 0.6, "This is hardly better than a guess. The right kind is the one whose error is the smallest, "
                                       "and the error is that of the guess against the clean picture.")
    expect(score >= 0.6, f"The color is right for {color:.0%}, the shape for {shape:.0%}. Kind k has the color k // 4 and the "
                         "shape k % 4: have you asked about both?")
    expect(score >= 0.9, "Nearly. Is the noise the same for all that you compare, and is the time neither too late nor too early?")
