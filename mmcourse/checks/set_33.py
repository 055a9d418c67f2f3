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
    expect(is_("sigma", 0.87), '"sigma": signal squared + sigma squared = 1.')
    expect(not is_("fog", -1), '"fog": -1 is the commonest value. In squared error the mean is the best guess.')
    expect(not is_("fog", 0.25), '"fog": a quarter of the pictures is 1, but the rest is -1, not 0.')
    expect(is_("fog", -0.5), '"fog": the mean of 1, -1, -1 and -1.')
    expect(not is_("loss", 0), '"loss": the network says 0 and the noise is not 0.')
    expect(is_("loss", 1), '"loss": the mean of the squares of numbers with mean 0 and variance 1.')
    expect(not is_("velocity", 1.5), '"velocity": the sign is turned. Time goes from the picture (0) to the noise (1).')
    expect(not is_("velocity", 0.05), '"velocity": this is where x is at t = 0.3. How fast does it go?')
    expect(is_("velocity", -1.5), '"velocity": noise - picture, at every t.')
    expect(got["same"] == True, '"same": with eta = 0 no dice are thrown on the way.')           # noqa: E712


@exercise("33.2", points=3)
def add_noise(answer):
    takes(answer, "pictures", "noise", "t", "betas")
    betas = torch.rand(12) * 0.3 + 0.02
    pictures, noise = torch.randn(2, 6, 3, 4, 4)
    t = torch.tensor([0, 11, *torch.randperm(10)[:4].add(1).tolist()])
    got = answer(pictures.clone(), noise.clone(), t.clone(), betas.clone())
    tensor(got, pictures.shape, torch.float32)

    def mixed(left, signal=math.sqrt, sigma=lambda a: math.sqrt(1 - a)):
        return torch.stack([signal(a) * p.double() + sigma(a) * e.double() for p, e, a in zip(pictures, noise, left)])
    lefts = [math.prod(1 - b for b in betas[:s + 1].tolist()) for s in t.tolist()]
    expect(not same(got, mixed(lefts, lambda a: a, lambda a: 1 - a)), "The square roots are missing: alpha bar is a share of "
                                                                      "the variance.")
    expect(not same(got, mixed(lefts, sigma=lambda a: 1 - a)), "The noise's weight lacks its square root.")
    expect(not same(got, mixed(lefts, lambda a: a)), "The picture's weight lacks its square root.")
    expect(not same(got, mixed(lefts, sigma=lambda a: 1 - math.sqrt(a))), "The weights add up to 1 here. It is their squares "
                                                                          "that should: the noise's is the root of 1 - alpha "
                                                                          "bar.")
    expect(not same(got, mixed(lefts, lambda a: math.sqrt(1 - a), math.sqrt)), "The two weights are swapped: at a small t there "
                                                                               "is much picture and little noise.")
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
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-3, 0.02, 1000) * (0.8 + 0.4 * torch.rand(())), 0)
    x, weights = torch.randn(5, 10), torch.randn(10, 10) / 2
    times = [999, *sorted(torch.randint(100, 950, (3,)).tolist(), reverse=True), 60]
    network, asked = _curved(weights)
    got = answer(network, x.clone(), alpha_bar.clone(), list(times))
    tensor(got, (5, 10), torch.float32)
    expect(len(asked) == len(times), f"The network should be called once for each of the {len(times)} entries of `times`, and "
                                     f"was called {len(asked)} times.")
    for (shape, t), step in zip(asked, times):
        expect(isinstance(t, torch.Tensor) and t.shape == (5,), "The network wants a step for each row of x: a tensor (B,).")
        expect(bool((t == step).all()), f"The network was asked about step {t[0].item()} where x is at step {step}: it has to "
                                        "know how noisy x is now.")

    def walk(last=1.0, split=math.sqrt, keep=lambda x, e, start: e, stop=False, old=False, clip=False):
        y, lefts = x.double(), [alpha_bar[s].item() for s in times]
        for step, now, then in zip(times, lefts, [*lefts[1:], last]):
            if stop and step == times[-1]:
                return y
            said = _curved(weights)[0](y, torch.full((5,), step))
            picture = (y - split(1 - now) * said) / split(now)
            if clip:
                picture = picture.clamp(-1, 1)
            y = split(then) * picture + split(1 - (now if old else then)) * keep(y, said, x.double())
        return y
    expect(not same(got, walk(alpha_bar[0].item()), 1e-4), "After the last step alpha bar is 1, a clean picture; you take that "
                                                           "of step 0.")
    expect(not same(got, walk(alpha_bar[-1].item()), 1e-2), "After the last step alpha bar is 1; you take that of the noisiest "
                                                            "step (index -1 counts from the end).")
    expect(not same(got, walk(stop=True), 1e-3), "The last step is missing: after the last entry of `times` comes the clean "
                                                 "picture.")
    rootless = walk(split=lambda a: a)                                         # grows to thousands: compared in its own size
    expect(not same(got / rootless.abs().max(), rootless / rootless.abs().max(), 1e-2), "The square roots are missing: alpha "
                                                                                        "bar is a share of the variance.")
    expect(not same(got, walk(keep=lambda x, e, start: start), 1e-3), "You mix in the noise of the very beginning again and "
                                                                      "again. Mix in what the network says at this step.")
    expect(not same(got, walk(old=True), 1e-3), "The picture gets the weight of the next step, the noise still that of this "
                                                "one.")
    expect(not same(got, walk(clip=True), 1e-3), "The guessed picture is cut off to -1 to 1. This helps with some networks; "
                                                 "here it is not asked for.")
    again = answer(_curved(weights)[0], x.clone(), alpha_bar.clone(), list(times))
    expect(same(got, again), "Twice from the same start, two results: with eta = 0 there is no fresh noise.")
    scale = walk().abs().max().item()
    close(got / scale, (walk() / scale).float(), "This is not where DDIM ends.", 1e-3)


@exercise("33.4", points=4)
def noisy_batch(answer):
    takes(answer, "pictures", "alpha_bar")
    alpha_bar, pictures = torch.tensor([0.9, 0.6, 0.3, 0.01]), torch.randn(400, 2, 3, 3)
    try:
        out = answer(pictures.clone(), alpha_bar.clone())
    except IndexError:
        expect(False, "There is no step 4 when T is 4: t goes from 0 to T - 1, and randint never gives its second number.")
    expect(isinstance(out, tuple) and len(out) == 3, "Return three things: the noisy pictures, t and the noise.")
    x, t, noise = out
    tensor(t, (400,), torch.int64, "t")
    tensor(noise, pictures.shape, torch.float32, "The noise")
    tensor(x, pictures.shape, torch.float32, "The noisy pictures")
    came = torch.bincount(t.clamp(min=0), minlength=4)
    expect(t.min() >= 0 and t.max() <= 3, f"t goes from {t.min()} to {t.max()}: with T = 4 steps it should be 0 to 3.")
    expect((came > 0).sum() > 1, "All pictures of the batch have the same step: draw one for each.")
    expect(came[3] > 0, "The last step, T - 1, never comes: randint does not give its second number. From there every picture "
                        "begins.")
    expect(came[0] > 0, "Step 0 never comes: t counts from 0.")
    expect(came.min() > 50, f"The steps come {came.tolist()} times in 400: all should be equally likely.")
    expect(noise.std(0).min() > 0.1, "All pictures of the batch get the same noise: draw noise for each.")
    expect(noise[0].numel() == 1 or noise[:, 0].std(unbiased=False) > 0.1 and (noise[:, :1] - noise).abs().max() > 0.1,
           "All colors of a picture get the same noise: draw each number anew.")
    expect(abs(noise.mean()) < 0.1, f"The noise has the mean {noise.mean():.2f}: it should be normal, around 0 (randn, not "
                                    "rand).")
    expect(abs(noise.std() - 1) < 0.1, f"The noise has the spread {noise.std():.2f}, and should have 1.")
    left = alpha_bar[t].view(-1, 1, 1, 1)
    expect(not same(x, left * pictures + (1 - left) * noise), "The square roots of alpha bar are missing.")
    close(x, left.sqrt() * pictures + (1 - left).sqrt() * noise, "x is not made of this t and this noise: the network is to "
                                                                 "guess the very noise that is in x.", 1e-4)


@exercise("33.5", points=3)
def to_pixels(answer):
    takes(answer, "x")
    near = torch.randint(-24, 280, (2, 3, 4, 5)) + torch.tensor([0.2, 0.8])[torch.randint(2, (2, 3, 4, 5))]
    x = near / 127.5 - 1                                   # never in the middle between two whole numbers: all round alike
    x[0, :, 0, 0], x[1, :, 0, 0] = 1.02, -1.02
    got = answer(x.clone())
    tensor(got, (2, 4, 5, 3), torch.uint8, "The pixels")
    levels = (x.double() + 1) * 127.5

    def pixels(values):
        return values.long() % 256

    def last(values):
        return values.permute(0, 2, 3, 1)
    right = last(levels.round().clamp(0, 255))
    got = got.long()
    expect(not same(got, right.flip(-1)), "Red and blue are swapped.")
    for name, values in (("", levels.round().clamp(0, 255)), ("x * 255 and ", (x.double() * 255).round().clamp(0, 255))):
        expect(not same(got, values.reshape(2, 4, 5, 3), 1), f"{name or 'The values are right, but '}reshape tears the picture: "
                                                             "move the axis of the colors with permute.")
    zero_one = last(x.double() * 255)
    for form in (zero_one, zero_one.round()):
        expect(not same(got, pixels(form), 0) and not same(got, form.clamp(0, 255).long(), 0),
               "This takes x to go from 0 to 1. It goes from -1 to 1: add 1 first.")
    for form in (last(levels), last(levels).round()):
        expect(not same(got, pixels(form), 0), "Values outside of -1 to 1 come around at the other end (256 is 0 again): cut them "
                                               "off before you convert.")
    expect(not same(got, last(levels.clamp(0, 255)).long(), 0), "The values are cut to whole numbers, which makes all pictures a "
                                                                "little darker: round them.")
    ends = last(levels).round()
    expect(not same(got, last(((x.clamp(0, 1) + 1) * 127.5)).double().round(), 0),
           "Everything below 0 is cut off: inside of models pictures begin at -1.")
    wrong = (got - right).abs() > 0
    if bool(wrong.any()):
        place = tuple(int(i) for i in wrong.nonzero()[0])
        expect(False, f"At {place} the pixel should be {int(right[place])} (from {ends[place]:.0f}), and is {int(got[place])}.")


@exercise("33.6", points=4)
def name_kinds(answer):
    takes(answer, "network", "pictures")
    model, count, asked, wrong = zoo.load("diffusion").cpu(), 24, 0, []

    @torch.no_grad()
    def network(x, t, kinds):
        nonlocal asked
        asked += len(x)
        if x.shape[1:] != (3, 32, 32) or t.shape != x.shape[:1] or kinds.shape != x.shape[:1]:
            wrong.append("The network takes as many times and kinds as pictures: x is "
                         f"{tuple(x.shape)}, t {tuple(t.shape)}, kinds {tuple(kinds.shape)}.")
        elif kinds.min() < 0 or kinds.max() > ANYTHING:
            wrong.append(f"Kinds are numbers from 0 to 23, and one is {kinds.max()}.")
        elif asked > 400 * count:
            wrong.append(f"The network looked at more than 400 noisy pictures for each of {count} pictures: 400 are allowed.")
        return torch.zeros_like(x) if wrong else model(x, t, kinds)
    first = 2 ** 33 + int(torch.randint(10 ** 6, ()))
    pictures, kinds = diffusion.shown(range(first, first + count))
    got = answer(network, pictures.clone())
    expect(not wrong, *wrong[:1] or [""])
    tensor(got, (count,), torch.int64, "What you return")
    expect(asked > 0, "The network was not asked: it is the one that knows the kinds.")
    score = (got == kinds).float().mean().item()
    print(f"{score:.0%} of {count} pictures are named rightly (target: 90%; a random guess: 4%).")
    mine, theirs = (torch.tensor([[one // 4, one % 4] for one in kind.tolist()]) for kind in (got, kinds))
    color, shape = (mine == theirs).float().mean(0).tolist()
    expect(color > 0.4 or shape > 0.6, "This is hardly better than a guess: the right kind is the one whose error is the "
                                       "smallest, and times near 0 tell nothing.")
    expect(score >= 0.6, f"The color is right for {color:.0%}, the shape for {shape:.0%}. Is the noise the same for all 24 "
                         "kinds, and is the guess compared with the clean picture?")
    expect(score >= 0.9, "Nearly. Ask under several noises and times, and add the errors up.")
