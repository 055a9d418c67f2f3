"""Text to image: a sentence steers a Transformer that turns noise into its picture (lesson 34)."""

import json
import shutil
from dataclasses import replace
from itertools import combinations, permutations
from numbers import Integral, Real
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from mmcourse import batches, world
from mmcourse.models.contrastive import TextEncoder, as_text, tokenizer
from mmcourse.models.dit import DiT, as_pixart, unpatchify
from mmcourse.models.vit import STANDARD, VisionEncoder, patchify
from mmcourse.world.scene import as_seed

LEAST = 0.05                           # times below count as this much where one divides by them
SHIFT = 4.0                            # how densely steps lie near the noise, where things find their places, at 64 pixels
CLEAN = 0.33                           # a picture whose `doubts` are less needs no other try
TOGETHER = 8                           # pictures that a processor paints at once: more do not fit into its cache
UNSEEN = {*world.SHAPES, *world.COLORS, *world.TEXTURES[1:]} - {*STANDARD.shapes, *STANDARD.colors}


class Text2Image(nn.Module):
    """A text encoder and a DiT that reads it by cross-attention and predicts the picture.

    forward(noisy (B, 3, S, S), t (B,), ids (B, T)) -> velocities (B, 3, S, S): noise - picture, along the straight
    line from picture (t = 0) to noise (t = 1) (Liu et al. 2023, Lipman et al. 2023). S is `size`, 64 or 128; a patch is an
    eighth of it.
    """

    def __init__(self, size=64):
        super().__init__()
        self.size = size
        self.text = TextEncoder(len(batches.WORDS), 128, 4, 3)
        self.dit = DiT(size, size // 8, d_context=128)
        self.align = nn.Linear(192, 128)              # for training alone: see recipes/text2image.py
        self.eye = VisionEncoder().requires_grad_(False)

    def read(self, ids):
        """Word numbers (B, T) -> a vector for each word (B, T, 128), and which of them are words (B, T).

        Words look at the words behind them, too, which the text encoder of CLIP does not let them: in "a star left of a
        square" the star must know that it stands left.
        """
        words = ids != batches.PAD
        return self.text.encoder(self.text.embedding(ids), words[:, None, None]), words

    def velocity(self, noisy, t, context, mask):
        """The way that leads from the predicted picture through the noisy one: its step per unit of time."""
        picture = self.dit(noisy, t, context, mask)
        return (noisy - picture) / t.clamp(min=LEAST)[:, None, None, None]

    def forward(self, noisy, t, ids):
        return self.velocity(noisy, t, *self.read(ids))

    def guided(self, noisy, now, memory, guidance):
        """The picture by classifier-free guidance (Ho and Salimans 2022): from the one without words `guidance` times as
        far as to the one with words. memory: `remember` of the B wanted sentences and then of the B unwanted ones."""
        pictures = foresee(self.dit, noisy, now, memory)
        if guidance == 1:
            return pictures
        with_words, without = pictures.chunk(2)
        return without + guidance * (with_words - without)

    @torch.no_grad()
    def sample(self, noise, sentences, steps=20, guidance=1.0, negative="", image=None, start=1.0, anew=None, watch=None):
        """Noise (B, 3, S, S) -> pictures (B, 3, S, S), in `steps` straight steps (`moments`) from time `start` to 0.

        image (3, S, S): start from it under as much noise as there is at `start` (SDEdit, Meng et al. 2022). With anew,
        (S, S) booleans, only these pixels are painted, and the others stay those of the image (RePaint, Lugmayr et al.
        2022). watch(t, x, picture) is called at each step with the noisy pictures and those foreseen.
        """
        times, done = moments(steps, start, SHIFT * self.size / 64), []
        together = TOGETHER if noise.device.type == "cpu" else len(noise)
        for first in range(0, len(noise), together):
            x, said = noise[first:first + together], sentences[first:first + together]
            memory = remember(self, said if guidance == 1 else [*said, *[negative] * len(said)])
            pure, x = x, x if image is None else (1 - start) * image + start * x
            for now, then in zip(times, times[1:]):
                picture = self.guided(x, now, memory, guidance)
                if watch:
                    watch(now, x, picture)
                x = x + (then - now) / now * (x - picture)
                x = x if anew is None else torch.where(anew, x, (1 - then) * image + then * pure)
            done.append(x)
        return torch.cat(done)

    def draw(self, sentences, seed=0, steps=20, guidance=1.0, negative="", tries=100):
        """A picture (PIL) of a sentence, or a list of pictures of a list of sentences.

        Picture k of a list is painted from the noise of seed + k, as if its sentence were drawn alone with that seed; or give
        a list of seeds, one for each. With a guidance above 1, pictures move away from what `negative` says. It checks itself:
        a picture that its own eye `doubts` is painted anew from other noise, up to `tries` times in all, and the one that it
        doubts least is kept (Ramesh et al. 2021 let CLIP choose among 512; tries=1: what comes first). Raises ValueError for
        what cannot be drawn: a question, a word that no picture has taught, a number out of range.
        """
        said = [sentences] if isinstance(sentences, str) else sentences
        chances, tries = generators(statements(said), seed), in_range("tries", tries, 1, 100, whole=True)
        checked(steps, guidance, negative)
        doubts, left = torch.full((len(said),), torch.inf), torch.arange(len(said))
        x = torch.empty(len(said), 3, self.size, self.size, device=self.dit.places.device)
        for _ in range(tries):
            some = [said[i] for i in left]
            new = self.sample(self.noise([chances[i] for i in left]), some, steps, guidance, negative)
            fresh = self.doubts(new, some) if tries > 1 else torch.zeros(len(some))
            better = fresh < doubts[left]
            x[left[better]], doubts[left[better]] = new[better], fresh[better]
            left = (doubts > CLEAN).nonzero()[:, 0]
            if not len(left):
                break
        pictures = images(x)
        return pictures[0] if isinstance(sentences, str) else pictures

    def doubts(self, pictures, sentences):
        """How little its eye trusts pictures (B, 3, S, S) of sentences, (B,): how `unlike` they are what it sees in them,
        and more where it sees something else than is said (`amiss`)."""
        pictures = F.adaptive_avg_pool2d(pictures.clamp(-1, 1), 64)                # the size that its eye has learned
        scenes = self.eye.read(pictures)
        return torch.tensor([amiss(scene, sentence) + unlike(picture, scene)
                             for picture, scene, sentence in zip(pictures.cpu(), scenes, sentences)])

    def edit(self, image, sentence, strength=0.7, seed=0, steps=20, guidance=1.0, negative=""):
        """The picture changed towards a sentence: strength 1 forgets it, near 0 leaves it as it is."""
        if not 0 < in_range("strength", strength, 0, 1):
            raise ValueError("strength = 0 changes nothing: give a number above 0, up to 1.")
        noise = self.noise(generators(statements([sentence]), seed))
        image = batches.pixels(image, self.size)[0].to(noise.device)
        checked(steps, guidance, negative)
        return images(self.sample(noise, [sentence], steps, guidance, negative, image, strength))[0]

    def fill(self, image, anew, sentence, seed=0, steps=20, guidance=1.0, negative=""):
        """The picture with the marked pixels, (S, S) booleans, painted anew; the sentence tells of the whole picture."""
        anew = torch.as_tensor(anew)
        if anew.shape != (self.size, self.size) or anew.dtype != torch.bool:
            raise ValueError(f"`anew` marks the pixels to paint: booleans {(self.size, self.size)}, not {anew.dtype} "
                             f"{tuple(anew.shape)}.")
        noise = self.noise(generators(statements([sentence]), seed))
        image, anew = batches.pixels(image, self.size)[0].to(noise.device), anew.to(noise.device)
        checked(steps, guidance, negative)
        return images(self.sample(noise, [sentence], steps, guidance, negative, image, anew=anew))[0]

    def noise(self, chances):
        """What comes next of each of B random generators: (B, 3, S, S)."""
        shape = 3, self.size, self.size
        return torch.stack([torch.randn(shape, generator=chance) for chance in chances]).to(self.dit.places.device)


def amiss(scene, sentence):
    """How wrong a Scene is for a sentence: 9.0 if it does not show what is said, 4.0 if fewer of its things would do, however
    they stood, or two share space (was one thing seen twice?), 1.0 if it would be wrong were a thing a pixel elsewhere, else
    0.0."""
    def right(things):
        return world.satisfies(replace(scene, objects=tuple(things)), sentence)

    things = scene.objects
    if not right(things):
        return 9.0
    if any(right(others) for fewer in combinations(things, len(things) - 1) for others in rearranged(fewer)):
        return 4.0
    if any(max(abs(one.x - other.x), abs(one.y - other.y)) < world.SIZES[one.size] + world.SIZES[other.size]
           for one, other in combinations(things, 2)):
        return 4.0
    steps = ((1 / 64, 0), (-1 / 64, 0), (0, 1 / 64), (0, -1 / 64))
    near = ((*things[:i], replace(thing, x=min(max(thing.x + dx, 0), 1), y=min(max(thing.y + dy, 0), 1)), *things[i + 1:])
            for i, thing in enumerate(things) for dx, dy in steps)
    return 0.0 if all(map(right, near)) else 1.0


def unlike(picture, scene):
    """How far a picture (3, 64, 64) is from a Scene drawn anew: the error over the ink of the thing that suits it worst, both
    as root mean squares, plus the largest mean error of 3 x 3 pixels of the ground."""
    if not scene.objects:
        return 1.0
    apart = picture - batches.pictures([scene])[0]
    ink = 1 - batches.pictures([replace(scene, objects=(thing,)) for thing in scene])            # (K, 3, 64, 64)
    around = F.max_pool2d((ink > 0).any(1, keepdim=True).float(), 5, 1, 2)                        # two pixels more
    worst = ((apart * around).square().sum((1, 2, 3)) / ink.square().sum((1, 2, 3))).max().sqrt()
    specks = F.avg_pool2d((apart * (1 - around.amax(0))).abs().mean(0, keepdim=True), 3, 1).max()
    return (worst + specks).item()


def rearranged(things):
    """The things as they stand, and in a row and in a column, in each order."""
    yield things
    for order in permutations(things):
        places = [(k + 0.5) / len(order) for k in range(len(order))]
        yield [replace(thing, x=place, y=0.5) for thing, place in zip(order, places)]
        yield [replace(thing, x=0.5, y=place) for thing, place in zip(order, places)]


def moments(steps, start=1.0, shift=SHIFT):
    """The times of the steps, from `start` to 0, a list: even ones, shifted to the noise (Esser et al. 2024, eq. 23)."""
    even = torch.linspace(start / (shift - (shift - 1) * start), 0, steps + 1)
    return (shift * even / (1 + (shift - 1) * even)).tolist()


# ---- what may be asked for

def statements(said):
    """The sentences, a list, if each of them can be drawn. Raises ValueError that says which cannot, and why."""
    if not isinstance(said, (list, tuple)) or not said:
        raise ValueError('Give a sentence or a list of sentences, at least one, like "a red circle".')
    for sentence in said:
        program = world.parse(sentence)                                    # names a word that it does not know
        words = sentence.lower().replace(",", " ").replace(".", " ").split()
        if "?" in sentence or words[0] in ("what", "how", "do", "is", "are"):
            raise ValueError(f"{sentence!r} is a question: say what the picture shows, like \"a red circle\".")
        if "'not'" in str(program):
            raise ValueError(f"{sentence!r} says what is not there: say what is, and give the rest as `negative`.")
        if new := [word for word in words if {word, word.removesuffix("s"), word.removesuffix("es")} & UNSEEN]:
            raise ValueError(f"No picture has taught this model the word {new[0]!r}: it draws "
                             f"{', '.join(STANDARD.shapes)} in {', '.join(STANDARD.colors)}.")
    return said


def generators(sentences, seed):
    """A random generator for each of the sentences: of seed + k, or of the k-th of a list of seeds."""
    seeds = seed if isinstance(seed, (list, tuple, range)) else [as_seed(seed) + k for k in range(len(sentences))]
    if len(seeds) != len(sentences):
        raise ValueError(f"{len(seeds)} seeds for {len(sentences)} sentences: give one seed, or one for each.")
    return [torch.Generator().manual_seed(as_seed(one) % 2 ** 63) for one in seeds]


def in_range(name, value, low, high, whole=False):
    """The value, if it is a number from low to high. Raises ValueError that says what is allowed."""
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        raise ValueError(f"{name} = {value!r} cannot be: give a {'whole ' * whole}number from {low} to {high}.")
    return value


def checked(steps, guidance, negative):
    """Raise ValueError unless one can paint with these."""
    in_range("steps", steps, 1, 1000, whole=True)
    in_range("guidance", guidance, 0, 20)
    if negative != "":
        statements([negative])
        if guidance == 1:
            raise ValueError("With guidance = 1 nothing is steered away from `negative`: give a guidance above 1, like 2.")


def images(x):
    """Tensors (B, 3, H, W), -1 to 1 -> PIL images."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]


# ---- the same DiT for sampling: what stays the same is computed once

def remember(model, sentences):
    """What cross-attention asks of sentences, the same at every step: for each block (B, D, H * T), (B, 1, H * T) and
    (B, H * T, D).

    A query is a linear map of x, and its product with the keys is one, too; so x times the first matrix plus the second
    are all scores of all heads, and their softmax times the third is what attention adds.
    """
    context, mask = model.read(batches.encode(sentences)[0].to(model.dit.places.device))
    context, memory = model.dit.context(context), []
    for cross in (block.cross for block in model.dit.blocks):
        heads, scale = cross.num_heads, (cross.query.out_features // cross.num_heads) ** -0.5
        key, value = scale * cross.split(cross.key(context)), cross.split(cross.value(context))      # (B, H, T, d)
        ask = torch.einsum("hdi,bhtd->biht", cross.query.weight.unflatten(0, (heads, -1)), key)
        bias = torch.einsum("hd,bhtd->bht", cross.query.bias.unflatten(0, (heads, -1)), key)
        bias = bias.masked_fill(~mask[:, None], torch.finfo(bias.dtype).min)
        give = torch.einsum("ohd,bhtd->bhto", cross.output.weight.unflatten(1, (heads, -1)), value)
        memory.append((ask.flatten(2), bias.flatten(1)[:, None], give.flatten(1, 2)))
    return memory


def foresee(dit, noisy, now, memory):
    """DiT.forward for pictures that are all at the time `now`, a number, with the `memory` of their sentences.

    There may be twice as many sentences as pictures: then the first half and the second are two branches, as guidance
    needs them, which part only where the words come in.
    """
    time = dit.time(torch.full((1,), now, device=noisy.device))                                     # (1, D)
    steer = dit.steer(F.silu(time)).view(6, -1)
    x = dit.patch(patchify(noisy, dit.patch_size)) + dit.places
    for block, (ask, bias, give) in zip(dit.blocks, memory):
        shift, scale, gate, shift_think, scale_think, gate_think = block.steer + steer              # (D,) each
        own, heads = F.layer_norm(x, shift.shape, 1 + scale, shift, 1e-6), block.attend.num_heads
        parts = block.attend.query, block.attend.key, block.attend.value
        query, key, value = (block.attend.split(part(own)) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = torch.addcmul(x, gate, block.attend.output(mixed))
        if len(ask) > len(x):
            x = x.repeat(2, 1, 1)
        weights = torch.baddbmm(bias, x, ask).unflatten(-1, (heads, -1)).softmax(-1).flatten(2)     # (B, N, H * T)
        x = torch.baddbmm(x, weights, give) + block.cross.output.bias
        x = torch.addcmul(x, gate_think, block.think(F.layer_norm(x, shift.shape, 1 + scale_think, shift_think, 1e-6)))
    shift, scale = dit.last_steer + time
    return unpatchify(dit.output(F.layer_norm(x, shift.shape, 1 + scale, shift, 1e-6)), dit.patch_size)


@torch.no_grad()
def word_maps(model, sentence, seed=0, steps=20, guidance=1.0):
    """Where each word acts (Hertz et al. 2023; Tang et al. 2023): the words, maps (T, 8, 8) and the picture.

    A map is the share of its cross-attention that a patch gives to the word, averaged over steps, blocks and heads.
    """
    ids, found = batches.encode(statements([sentence]))[0].to(model.dit.places.device), []
    hooks = [block.cross.register_forward_hook(lambda layer, given, out: found.append(out[1])) for block in model.dit.blocks]
    x = model.sample(model.noise(generators([sentence], seed)), [sentence], steps, guidance,
                     watch=lambda now, x, picture: model(x, torch.full((1,), now, device=x.device), ids))
    for hook in hooks:
        hook.remove()
    maps = torch.cat(found).mean((0, 1)).T[1:-1]                               # (T, N), without <start> and <end>
    return [batches.WORDS[i] for i in ids[0, 1:-1]], maps.unflatten(1, (8, 8)).cpu(), images(x)[0]


# ---- the same model in diffusers

def save_for_diffusers(model, folder):
    """Write a folder that DiffusionPipeline.from_pretrained(folder, trust_remote_code=True) opens offline.

    trust_remote_code is needed, because the folder brings its own pipeline.py (mmcourse/models/pipeline.py, 40 lines to
    read): no pipeline of diffusers joins a text encoder and a DiT that paints pixels. Its pictures are those of
    `draw(..., tries=1)`, if generator=[torch.Generator().manual_seed(seed + k) for each k].
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    from mmcourse.models import pipeline

    parts = as_pixart(model.dit), as_text(model.text), tokenizer(), FlowMatchEulerDiscreteScheduler(
        shift=SHIFT * model.size / 64)
    pipeline.Text2ImagePipeline(*parts).save_pretrained(folder)
    shutil.copy(pipeline.__file__, Path(folder) / "pipeline.py")
    index = Path(folder) / "model_index.json"
    parts = json.loads(index.read_text("utf-8")) | {"_class_name": ["pipeline", "Text2ImagePipeline"]}
    index.write_text(json.dumps(parts, indent=1) + "\n", "utf-8")
