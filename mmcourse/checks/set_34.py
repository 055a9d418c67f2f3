"""Checks of lesson 34, text to image. Truth: torch's own attention, arithmetic pixel by pixel, a walk of 400 steps."""

import math

import torch
import torch.nn.functional as F

from mmcourse.checks import Hint, close, exercise, expect, numbers, same, takes, tensor


@exercise("34.1", points=2)
def predictions(answer):
    got = numbers(answer, "guided", "looks", "scores", "noisy", "scale", "moved", "reads")

    def near(name, value):
        return abs(got[name] - value) < 0.006
    expect(not near("guided", 1.1), '"guided": start from the pixel without words, not from the one with them.')
    expect(not near("guided", -0.5), '"guided": this goes away from the words. The difference is with minus without.')
    expect(near("guided", 0.9), '"guided": without + w * (with - without).')
    expect(got["looks"] != 100, '"looks": guidance asks twice at each step, with words and without.')
    expect(got["looks"] == 200, '"looks": pictures times steps times two answers.')
    expect(got["scores"] != 76 ** 2, '"scores": this is joint attention. Here only patches ask, and only words answer.')
    expect(got["scores"] != 64 ** 2 + 768, '"scores": this counts self-attention, too. Patches ask words.')
    expect(got["scores"] == 768, '"scores": one for each pair of a patch and a word.')
    expect(not near("noisy", -0.1), '"noisy": t = 0 is the picture, t = 1 the noise.')
    expect(near("noisy", 0.5), '"noisy": (1 - t) * picture + t * noise.')
    expect(not near("scale", 4), '"scale": latents times the factor should have the standard deviation 1.')
    expect(near("scale", 0.25), '"scale": 1 / standard deviation.')
    expect(not near("moved", 0.5), '"moved": the step is 0.25 of the time, but half of what is left of the way.')
    expect(near("moved", 0.4), '"moved": at t = 0 one is at 0.2, at t = 0.5 at 0.6. And in the middle?')
    expect(not got["reads"], '"reads": FID gets pictures only. It never sees a sentence.')


@exercise("34.2", points=3)
def cross_attention(answer):
    takes(answer, "patches", "words", "mask", "w_query", "w_key", "w_value")
    for _ in range(2):
        batch, count, length, width = 3, int(torch.randint(5, 8, ())), int(torch.randint(8, 11, ())), int(torch.randint(5, 8, ()))
        patches, words = torch.randn(batch, count, width), torch.randn(batch, length, width)
        mask = torch.arange(length) < torch.tensor([[length], [3], [length - 2]])
        maps_to = [1.5 * torch.randn(width, width) for _ in range(3)]
        got = answer(patches.clone(), words.clone(), mask.clone(), *(one.clone() for one in maps_to))
        expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two tensors: what is added, and the maps.")
        added, maps = got
        query, key, value = patches @ maps_to[0], words @ maps_to[1], words @ maps_to[2]
        scores = torch.einsum("bnd,btd->bnt", query, key)
        right = scores.div(width ** 0.5).masked_fill(~mask[:, None], -math.inf).softmax(-1)
        expect(not (isinstance(maps, torch.Tensor) and maps.shape == right.shape and same(maps, right)),
               "The maps are (B, N, T), a row for each patch: a map of a word over the patches is asked for, (B, T, N).")
        if isinstance(maps, torch.Tensor) and maps.shape == right.mT.shape and maps.isnan().any():
            expect(maps[mask].isnan().any(),
                   "The softmax runs over the patches: each patch should share its attention among the words.")
            raise Hint("A patch may look at no word at all, so its shares are NaN. Is the mask turned around? True is a real word.")
        tensor(added, patches.shape, torch.float32, "The first result, what is added,")
        tensor(maps, (batch, length, count), torch.float32, "The second result, the maps,")
        swapped = (patches @ maps_to[1]) @ (words @ maps_to[0]).mT
        turned = (patches @ maps_to[0].T) @ (words @ maps_to[1].T).mT
        for hint, wrong in {
                "Padding is looked at: use the mask before the softmax.": scores.div(width ** 0.5).softmax(-1),
                "Padding was set to zero after the softmax: the shares of the real words no longer sum to one.":
                    scores.div(width ** 0.5).softmax(-1) * mask[:, None],
                "Padding has the score 0, which is a score like others: it needs -inf.":
                    (scores.div(width ** 0.5) * mask[:, None]).softmax(-1),
                "The mask is turned around: True is a real word.":
                    scores.div(width ** 0.5).masked_fill(mask[:, None], -1e30).softmax(-1),
                "The scores were not divided by the square root of D.":
                    scores.masked_fill(~mask[:, None], -math.inf).softmax(-1),
                "The scores were divided by D, not by its square root.":
                    scores.div(width).masked_fill(~mask[:, None], -math.inf).softmax(-1),
                "The softmax runs over the patches: each patch should share its attention among the words.":
                    scores.div(width ** 0.5).masked_fill(~mask[:, None], -1e30).softmax(1),
                "The softmax runs over the patches, and padding is looked at.": scores.div(width ** 0.5).softmax(1),
                "w_query is for the patches and w_key for the words; here they are exchanged.":
                    swapped.div(width ** 0.5).masked_fill(~mask[:, None], -math.inf).softmax(-1),
                "The matrices are used as x @ w, without transposing them.":
                    turned.div(width ** 0.5).masked_fill(~mask[:, None], -math.inf).softmax(-1)}.items():
            expect(not same(maps, wrong.mT, 1e-4), hint)
        expect((maps[~mask] == 0).all(), "Padding gets a small share, and should get exactly 0: put -inf before the softmax.")
        close(maps.sum(1), torch.ones(batch, count), "A patch's shares of the words should sum to one.", 1e-4)
        close(maps, right.mT, "The maps are the softmax of the scores.", 1e-4)
        expect(not same(added, right @ words, 1e-4), "The words were added as they are: their values are words @ w_value.")
        expect(not same(added, right @ key, 1e-4), "The keys were added in place of the values.")
        expect(not same(added, patches + right @ value, 1e-4), "Return only what is added, without the patches.")
        close(added, F.scaled_dot_product_attention(query, key, value, mask[:, None]),
              "What is added is the mean of the words' values, weighted by the shares.", 1e-4)


@exercise("34.3", points=3)
def inpainting_step(answer):
    takes(answer, "x", "picture", "now", "then", "given", "noise", "anew")
    for now, then in ((0.9, 0.6), (0.5, 0.0), (1.0, 0.3)):
        x, picture, noise = torch.randn(3, 2, 3, 5, 5)
        given, anew = torch.randn(3, 5, 5), torch.rand(5, 5) < 0.5
        anew[0, 0], anew[0, 1] = True, False
        got = answer(x.clone(), picture.clone(), now, then, given.clone(), noise.clone(), anew.clone())
        tensor(got, x.shape, torch.float32)
        painted = torch.lerp(picture, x, then / now)
        kept = torch.lerp(given, noise, then).expand_as(x)
        expect(not (same(got[..., ~anew], painted[..., ~anew]) and same(got[..., anew], kept[..., anew])),
               "The mask is turned around: True = paint.")
        inside, outside = got[..., anew], got[..., ~anew]
        for hint, wrong in {
                "Everything was painted: where `anew` is False the given picture stays.": painted,
                "The given picture was put in without noise: the model would see two parts of different times.":
                    given.expand_as(x) if then else painted,
                "The given picture has the noise of the time `now`: x is to be at `then`.":
                    torch.lerp(given, noise, now).expand_as(x),
                "The given picture was only mixed with x: use the noise with which the walk began.":
                    torch.lerp(given, x, then).expand_as(x),
                "The shares of picture and noise are exchanged: at then = 0 there is no noise.":
                    torch.lerp(noise, given, then).expand_as(x),
        }.items():
            expect(same(wrong, kept) or not same(outside, wrong[..., ~anew]), hint)
        close(outside, kept[..., ~anew], "Where `anew` is False: (1 - then) * given + then * noise.")
        for hint, wrong in {
                "The step is too short: x - picture is only `now` times the velocity, so divide by `now`.":
                    x + (then - now) * (x - picture),
                "The step leads away from the picture: times fall, so then - now is negative.":
                    x - (then - now) / now * (x - picture),
                "This is the foreseen picture itself: walk only as far as `then`.": picture,
                "The painted part has new noise in it: x brings its own.": torch.lerp(picture, noise, then)}.items():
            expect(same(wrong, painted) or not same(inside, wrong[..., anew]), hint)
        close(inside, painted[..., anew], "Where `anew` is True: picture + (x - picture) * then / now.")


@exercise("34.4", points=3)
def guided_step(answer):
    takes(answer, "x", "pictures", "now", "then", "weight")
    for now, then, weight in ((0.8, 0.5, 3.0), (0.5, 0.0, 1.0), (0.6, 0.2, 0.0), (0.4, 0.0, 2.5)):
        x, wanted, without = torch.randn(3, 3, 3, 4, 4)
        got = answer(x.clone(), torch.cat([wanted, without]), now, then, weight)
        tensor(got, x.shape, torch.float32)

        def walked(picture, far=then / now):
            return picture + far * (x - picture)
        picture = (1 - weight) * without + weight * wanted
        short = 1 + then - now
        for hint, wrong in {
                "The halves are exchanged: the pictures with words come first.": (1 - weight) * wanted + weight * without,
                "Weight 1 should give the picture with words: start from the one without them.":
                    wanted + weight * (wanted - without),
                "The sign is wrong: this moves away from the words.": without - weight * (wanted - without)}.items():
            expect(weight <= 1 or not (same(got, walked(wrong)) or same(got, walked(wrong, short))), hint)
        expect(weight or not same(got, walked(wanted)), "Weight 0 should give the picture without words.")
        expect(not same(got, walked(picture, short)),
               "The guidance is right, the step is too short: x - picture is only `now` times the velocity.")
        expect(not same(got, picture) or then == 0, "This is the guided picture itself: walk only as far as `then`.")
        close(got, walked(picture), f"From {now} to {then} with weight {weight}.")


@exercise("34.5", points=4)
def training_batch(answer):
    takes(answer, "pictures", "ids", "empty", "noise", "u", "v", "alphas")
    batch, count, length = 36, int(torch.randint(8, 15, ())), 5
    pictures = torch.randint(256, (batch, 3, 4, 4)).to(torch.uint8)
    ids, empty = torch.randint(3, 50, (batch, length)), torch.tensor([1, 2, 0, 0, 0])
    noise, v = torch.randn(batch, 3, 4, 4), torch.where(torch.arange(batch) % 3 == 0, 0.1, 1.0) * torch.rand(batch)
    v[1::3] = 0.101 + 0.899 * v[1::3]
    v[2::3] = 0.101 + 0.899 * v[2::3]
    v[1] = 0.1                                                 # not below 0.1
    u = (torch.randperm(batch) + torch.rand(batch)) / batch
    u[u.argmax()], u[u.argmin()] = 1 - 1e-6, 0.0
    alphas = torch.linspace(0.99, 0.02, count)
    given = [part.clone() for part in (pictures, ids, empty, noise, u, v, alphas)]
    try:
        got = answer(*given)
    except IndexError:
        got = None
        expect(False, "A step lies outside of alphas: they are numbered from 0 to T - 1.")
    expect(isinstance(got, (tuple, list)) and len(got) == 3, "Return three tensors: noisy pictures, sentences and steps.")
    noisy, told, steps = got
    expect(torch.equal(given[1], ids), "`ids` itself was changed: the sentence is lost for all that comes later. Make a new tensor.")
    tensor(steps, (batch,), torch.int64, "The third result, steps,")
    right = [min(int(math.floor(one * count)), count - 1) for one in u.tolist()]
    expect(steps.max() < count, "A step lies outside of alphas: they are numbered from 0 to T - 1.")
    expect(steps.tolist() != [int(one * (count - 1)) for one in u.tolist()],
           "The last step, the noisiest, is never drawn: T steps share the numbers from 0 to 1, not T - 1.")
    expect(steps.min() >= 0, f"A step is {steps.min()}: they are numbered from 0.")
    expect(steps.min() == 0, "The first step, 0, is never drawn.")
    expect(steps.tolist() == right, "Step k is for u from k / T to (k + 1) / T.")
    tensor(told, (batch, length), torch.int64, "The second result, the sentences,")
    gone = v < 0.1
    for hint, wrong in {
            "No sentence is dropped: the empty answer would never be learned, and guidance has nothing to start from.": ids,
            "All sentences are dropped.": empty.expand_as(ids),
            "The sentences that should stay are dropped: drop where v is below 0.1.": torch.where(gone[:, None], ids, empty),
            "Where v is exactly 0.1 the sentence stays.": torch.where((v <= 0.1)[:, None], empty, ids),
            "Dropped sentences became padding alone: the empty sentence is `empty`.": ids * ~gone[:, None]}.items():
        expect(not torch.equal(told, wrong), hint)
    expect(torch.equal(told, torch.stack([empty if drop else one for drop, one in zip(gone, ids)])),
           "Where v is below 0.1 the sentence is `empty`, elsewhere it is that of ids.")
    tensor(noisy, noise.shape, torch.float32, "The first result, the noisy pictures,")
    kept, twice = (torch.tensor([part[k].item() for k in right])[:, None, None, None] for part in (alphas, alphas.cumprod(0)))
    clean = (pictures.double() * 2 / 255 - 1).float()

    def mixed(picture, a, b):
        return a * picture + b * noise
    for hint, wrong in {
            "The pictures are from 0 to 1: models of this course see -1 to 1.":
                mixed(pictures / 255, kept.sqrt(), (1 - kept).sqrt()),
            "The pictures are bytes, 0 to 255: models of this course see -1 to 1.":
                mixed(pictures.float(), kept.sqrt(), (1 - kept).sqrt()),
            "alphas are shares of variance: picture and noise need their square roots.": mixed(clean, kept, 1 - kept),
            "alphas are products over all steps so far: no cumprod.": mixed(clean, twice.sqrt(), (1 - twice).sqrt()),
            "Picture and noise have exchanged their shares.": mixed(clean, (1 - kept).sqrt(), kept.sqrt())}.items():
        expect(not same(noisy, wrong, 1e-4), hint)
    close(noisy, mixed(clean, kept.sqrt(), (1 - kept).sqrt()), "The noisy pictures mix pictures, -1 to 1, with the noise.", 1e-4)


def _walk(centers, x, times, mixes):
    """Straight steps with a perfect model of points around `centers` (K, D): x (B, D) at the end."""
    before = None
    for now, then, mix in zip(times, times[1:], mixes):
        variance = (0.05 * (1 - now)) ** 2 + now ** 2
        apart = x[:, None] - (1 - now) * centers
        likely = (-apart.square().sum(-1) / (2 * variance)).softmax(-1)[..., None]
        velocity = (x - (likely * (centers + (1 - now) * 0.05 ** 2 / variance * apart)).sum(1)) / now
        before = velocity if before is None else before
        x, before = x + (then - now) * ((1 + mix) * velocity - mix * before), velocity
    return x


@exercise("34.6", points=3)
def plan(answer):
    takes(answer)
    got = answer()
    expect(isinstance(got, (tuple, list)) and len(got) == 2 and all(hasattr(part, "__len__") for part in got),
           "Return two lists: times and mixes.")
    times, mixes = ([float(one) for one in part] for part in got)
    expect(len(times) == 9, f"Eight looks have nine times, from 1 to 0, and here are {len(times)}.")
    expect(len(mixes) == 8, f"Eight looks have eight mixes, and here are {len(mixes)}.")
    expect(all(math.isfinite(one) for one in times + mixes), "All numbers should be finite.")
    expect(abs(times[0] - 1) < 1e-6 and abs(times[-1]) < 1e-6, "The times begin at 1, where all is noise, and end at 0.")
    expect(all(a > b for a, b in zip(times, times[1:])), "The times should fall, each below the one before.")
    even, ratios = [[1 - k / n for k in range(n + 1)] for n in (8, 400)], []
    for _ in range(32):                                    # in one world alone even a good plan may be unlucky
        centers, noise = 0.8 * torch.randn(6, 8), torch.randn(200, 8)
        true, plain = _walk(centers, noise, even[1], [0] * 400), _walk(centers, noise, even[0], [0] * 8)
        found = _walk(centers, noise, times, mixes)
        ratios.append(((found - true).square().mean() / (plain - true).square().mean()).sqrt().item())
    reached = sum(ratios) / len(ratios)
    uneven = max(abs(a - b) for a, b in zip(times, even[0])) > 1e-6
    expect(reached <= 0.75 or not (uneven and any(mixes)), f"Your plan is {reached:.2f} times as far off as the plain walk, and "
           "0.75 is the target. Try your mixes with equal times first.")
    expect(reached < 1.1, f"Your plan is {reached:.2f} times as far off as the plain walk: have the mixes the right sign?")
    expect(reached <= 0.75 or any(mixes), f"Your plan is {reached:.2f} times as far off as the plain walk. Other times alone "
                                          "gain little here: use the mixes, too.")
    expect(reached <= 0.75, f"Your plan is {reached:.2f} times as far off as the plain walk, and 0.75 is the target.")
