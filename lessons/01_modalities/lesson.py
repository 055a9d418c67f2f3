# ---
# title: Modalities
# question: What does a machine get when you show it a picture, play it a sound or tell it a sentence?
# minutes: 70
# level: beginner
# objectives:
#   - turn text, pictures, sound, film, points and sensor traces into tensors
#   - read a tensor's shape like an address
#   - find the classic mistakes before they find you
#   - measure what one modality knows and another cannot
# prerequisites: []
# device: Two CPU cores are enough.
# words:
#   modality: 模态
#   multimodal: 多模态的
#   tensor: 张量
#   token: 词元
#   pixel: 像素
#   sampling rate: 采样率
#   spectrogram: 声谱图
#   point cloud: 点云
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One scene, six ways to meet it
# Below is one small scene. You can see it, read it, hear it, watch it move, walk around it, or feel it move as a phone's motion sensor does. Each way is a **modality**. A model that joins several of them is **multimodal**, and this course builds such models.
#
# For you it is one scene six times. For a machine, all six are tables of numbers, and at first sight nothing says that they belong together.

# %%
import re

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from mmcourse import show, widgets, world

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
scene = world.sample(seed=217)
film, wave = world.film(scene, frames=16), world.sound(scene)
cloud, trace = world.cloud(scene, n=2000), world.trace(film)
fig = plt.figure(figsize=(10, 5.6))
axes = [fig.add_subplot(2, 3, i + 1, projection="3d" if i == 4 else None) for i in range(6)]
show.panel(axes[0], scene.image(256), "image")
axes[1].text(0.5, 0.5, show.wrapped(scene.caption(), 22), ha="center", va="center", size=13)
axes[1].axis("off")
axes[1].set_title("text")
axes[2].plot(np.arange(len(wave)) / 16000, wave, linewidth=0.3)
axes[2].set(title="sound", xlabel="seconds", yticks=[])
frames = film.frames(64)[::4]
show.panel(axes[3], np.block([[[frames[0]], [frames[1]]], [[frames[2]], [frames[3]]]]), "video")
axes[4].scatter(*cloud.points.T, c=cloud.colors, s=2)
axes[4].set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 0.7), title="points")
axes[4].set(xticks=[], yticks=[], zticks=[])
axes[5].plot(np.arange(len(trace[0])) / 50, trace[0], linewidth=1)
axes[5].set(title="sensor", xlabel="seconds", yticks=[])
show.figure(fig, alt="One scene six times: a picture of shapes, a sentence about it, a "
                     "sound wave, four frames of a film, a cloud of points in space and "
                     "three sensor curves.")

# %% [markdown] slideshow={"slide_type": "notes"}
# Ask: which of the six could you do without? Which two together tell you more than each alone? Keep the answers for the end of the lesson.

# %% [markdown] slideshow={"slide_type": "subslide"}
# The scene comes from the **world of this course**: a few shapes on white ground, made from one whole number. `world.sample(217)` is the same scene on every machine, for ever: the number is its **seed**.
#
# The world is small on purpose. It knows the truth about itself, so every model you build can be judged exactly: *is this sentence true of that picture?* is a question with an answer.

# %% slideshow={"slide_type": "-"}
for thing in scene:
    print(f"{thing!s:<20} at x = {thing.x:.2f}, y = {thing.y:.2f}")
for claim in ("a black square left of a green circle", "there are two red things"):
    print(f"“{claim}”: {world.satisfies(scene, claim)}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## By hand: four pixels
# A picture file holds **bytes**: whole numbers from 0 to 255, three for each **pixel** (red, green, blue). Models like small numbers around zero, so we map 0 to −1 and 255 to 1:
#
# $$x = \frac{\text{byte}}{127.5} - 1$$
#
# Take a picture of 2 × 2 pixels: white, red, black, gray. With a pencil: what are the three numbers of the red pixel (255, 0, 0)? And of gray (128, 128, 128)?
#
# <details><summary>Answer</summary>
#
# Red: 255 / 127.5 − 1 = 1, then 0 / 127.5 − 1 = −1 twice: (1, −1, −1). Gray: 128 / 127.5 − 1 ≈ 0.004, three times: nearly, but not exactly, zero.
#
# </details>

# %% slideshow={"slide_type": "fragment"}
tiny = np.array([[[255, 255, 255], [255, 0, 0]],
                 [[0, 0, 0], [128, 128, 128]]], dtype=np.uint8)       # (H, W, C)
x = torch.from_numpy(tiny).permute(2, 0, 1) / 127.5 - 1        # (C, H, W), float in [-1, 1]
print("shape", tuple(x.shape))
print("its red channel:", x[0].numpy().astype(float).round(3).tolist())

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### A shape is an address
# `x[0, 1, 1]` above reads: color 0 (red), row 1, column 1. The order of the axes is a **convention**, and there are two:
#
# | who | order | a picture of 64 × 64 |
# |---|---|---|
# | files, Pillow, NumPy, matplotlib | (H, W, C) | (64, 64, 3) |
# | PyTorch layers | (B, C, H, W) | (1, 3, 64, 64) |
#
# B is the **batch**: many pictures at once, here one. `permute` moves axes and keeps every number at its pixel; `[None]` adds an axis of length 1. (Black things are very dark gray, so the smallest number below is not quite −1.)

# %% slideshow={"slide_type": "-"}
def picture_to_tensor(image):
    """A PIL image -> float tensor (1, 3, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # uint8 (H, W, 3)
    return (pixels.permute(2, 0, 1) / 127.5 - 1)[None]


picture = picture_to_tensor(scene.image(64))
print(tuple(picture.shape), picture.dtype, f"from {picture.min():.2f} to {picture.max():.2f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Break it on purpose: reshape is not permute
# Both `x.permute(2, 0, 1)` and `x.reshape(3, 64, 64)` give the shape that PyTorch wants. Only one of them is right. The other fills the new shape with the numbers in their old order: nothing crashes, but each "pixel" now mixes numbers of three places, and whatever looks at neighbors sees scrambled pictures.
#
# Another classic: bytes have no room above 255. Add 60 to a byte of 230 and it wraps around to 34.

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
pixels = np.array(scene.image(64))
reshaped = np.moveaxis(pixels.reshape(3, 64, 64), 0, -1)
wrapped = pixels + np.uint8(60)
fig, axes = plt.subplots(1, 4, figsize=(10.4, 2.9))
titles = ("right", "reshape for permute", "blue read as red (BGR)", "bytes that wrapped around")
for ax, shown, title in zip(axes, (pixels, reshaped, pixels[..., ::-1], wrapped), titles):
    show.panel(ax, shown, title)
show.figure(fig, alt="Four pictures: the right one; one cut into gray and colored stripes "
                     "with small copies of the shapes; one with red and blue exchanged; "
                     "one on a dark ground because white wrapped around.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# **A test that catches most of them:** go there and back. Turn the picture into a tensor and the tensor into a picture; they must be equal, byte by byte. Write that test before the model.
#
# It has one weak spot: a way back that repeats the mistake (reshape there, reshape back) passes. So look at one known pixel as well: red must be (1, −1, −1).

# %% slideshow={"slide_type": "-"}
def tensor_to_picture(x):
    """float (1, 3, H, W) in [-1, 1] -> uint8 array (H, W, 3)."""
    return ((x[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()


there_and_back = tensor_to_picture(picture_to_tensor(scene.image(64)))
print("there and back, equal:", np.array_equal(there_and_back, np.array(scene.image(64))))
wrong = torch.from_numpy(pixels).reshape(1, 3, 64, 64) / 127.5 - 1
print("with reshape, equal:  ", np.array_equal(tensor_to_picture(wrong), pixels))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Text: words become numbers in a list
# A sentence is cut into **tokens**. Here a token is a word; lesson 13 cuts finer. A **vocabulary** gives each token a number. Sentences have different lengths, but all rows of a tensor have the same: short ones are filled up with a padding token, and a **mask** remembers what is real.

# %% slideshow={"slide_type": "-"}
sentences = sorted(scene.captions(20, seed=1), key=len)[:3]
words = ["<pad>", *sorted(set(" ".join(sentences).split()))]
vocabulary = {word: number for number, word in enumerate(words)}
tokens = [[vocabulary[word] for word in sentence.split()] for sentence in sentences]
longest = max(map(len, tokens))
ids = torch.tensor([row + [0] * (longest - len(row)) for row in tokens])  # (B, T)
mask = ids != 0  # True = a real word
for sentence, row in zip(sentences, ids.tolist()):
    print(row, sentence)
print("ids", tuple(ids.shape), "real words in each row:", mask.sum(1).tolist())

# %% [markdown] slideshow={"slide_type": "subslide"}
# The numbers are **names, not amounts**: word 8 is not twice word 4. So a model never computes with them. It looks up a row of learned numbers for each, an *embedding*. From there on a sentence is a float tensor (B, T, D), like everything else.

# %% slideshow={"slide_type": "-"}
torch.manual_seed(0)
table = torch.nn.Embedding(len(vocabulary), 16, padding_idx=0)    # 16 numbers for each word
print("words as vectors:", tuple(table(ids).shape))
print("padding is zero: ", not table(ids)[~mask].any())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Sound: pressure, thousands of times a second
# A microphone writes down air pressure at a fixed **sampling rate**, here 16,000 times a second: a tensor (B, samples). The world plays a scene from left to right. Each thing sounds while a line sweeps over it: height is pitch, the shape is the timbre (the mixture of overtones), the color an extra tone, and a large thing is longer and louder.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
from IPython.display import Audio

sound = torch.from_numpy(wave)[None]  # (B, samples)
print(tuple(sound.shape), sound.dtype, f"{sound.shape[1] / 16000:.1f} seconds")
Audio(wave, rate=16000)  # press play

# %% [markdown] slideshow={"slide_type": "subslide"}
# The wave itself is hard to read: what the ear notes is *which frequencies sound when*. So cut the wave into short overlapping frames and measure each frame's frequencies. The result is a **spectrogram**, a picture of sound (B, frequencies, frames).
#
# Measuring one frequency means: multiply the frame with a cosine (and a sine) of that frequency, number by number, and add up. The sum is large if the wave swings alike. This is a **dot product**, and you will meet it in every lesson.

# %% slideshow={"slide_type": "-"}
def spectrogram(wave, size=512, hop=128):
    """wave (samples,) -> strengths (size / 2 + 1, frames): dot products with cosines and sines."""
    frames = wave.unfold(0, size, hop)              # (frames, size): 512 samples, every 128
    frames = frames * torch.hann_window(size)       # faded out at both ends: a cut is no tone
    turns = torch.outer(torch.arange(size // 2 + 1), torch.arange(size)) / size
    angle = 2 * torch.pi * turns                                       # (frequencies, size)
    return torch.hypot(frames @ angle.cos().T, frames @ angle.sin().T).T     # both: a strength


ours = spectrogram(sound[0])
theirs = torch.stft(sound[0], 512, 128, window=torch.hann_window(512), center=False,
                    return_complex=True).abs()
apart = (ours - theirs).abs().max() / theirs.max()
print(tuple(ours.shape), "torch.stft gives the same to 1e-5 of the peak:", apart.item() < 1e-5)

# %% slideshow={"slide_type": "fragment"} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), width_ratios=(1, 1.7))
show.panel(left, scene.image(256), "the scene")
right.imshow(ours.log1p(), origin="lower", aspect="auto", extent=(0, 2.56, 0, 8))
right.set(xlabel="seconds (left to right)", ylabel="frequency (kHz)",
          title="its sound: a stack of lines for each thing")
show.figure(fig, alt="Left the scene, right its spectrogram: one horizontal stroke for "
                     "each thing, early for things on the left, high for things at the "
                     "top, with overtones above.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Film, points and sensors
# Nothing new, only more axes:
#
# | modality | tensor | in our world |
# |---|---|---|
# | video | (B, T, C, H, W) | T pictures, things move, bounce, appear |
# | points | (B, N, 3) | N places on surfaces, in any order |
# | sensor | (B, T, channels) | acceleration along three axes |
#
# Every thing carries its own sensor; we show one. (At rest one axis reads gravity, 9.8 m/s².)
#
# Points are the odd one: they form a **set**. Shuffle the rows and it is the same cloud. A model for points must not care about the order. Lesson 11 shows that attention does not care either.

# %% slideshow={"slide_type": "-"}
video = torch.from_numpy(film.frames(64)).permute(0, 3, 1, 2)[None] / 127.5 - 1
points, sensor = torch.from_numpy(cloud.points)[None], torch.from_numpy(trace[:1])
everything = {"image": picture, "text": ids, "sound": sound, "video": video,
              "points": points, "sensor": sensor}
for name, tensor in everything.items():
    shape, kind = str(tuple(tensor.shape)), str(tensor.dtype)[6:]
    print(f"{name:<7} {shape:<22} {kind:<8} {tensor[0].numel():>7,} numbers each")

# %% [markdown] slideshow={"slide_type": "slide"}
# ### All of it comes from the same scene
# Is that more than a story? The world can also be read **back**, by geometry and measurement, without any learning: from a picture or a sound to the whole scene, and from the film, whose things come from the scene and then move, appear or leave. The sensors tell what each thing does in the film, not what it looks like. And it can be asked: every question comes with its true answer.
#
# These readers are the judges of this course. When a model draws, speaks or answers, they say what it really did.

# %% slideshow={"slide_type": "-"}
print("picture -> scene:", world.read(scene.image(64)) == scene)
print("sound -> scene:  ", world.hear(wave) == scene)
print("film -> film:    ", world.watch(film.frames(64)) == film)
print("traces -> doing: ", world.feel(trace) == world.activities(film))
for question in [*world.questions(scene, 2, seed=4), *world.film_questions(film, 2, seed=4)]:
    print(f"{question.text}  {question.answer}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The real thing: four recordings from outside
# The world is made, so let us also open real data. Four recordings ship inside matplotlib: a photograph, one slice of an MRI scan, a brain's voltage (EEG) and a map of heights. Each becomes a tensor in one or two lines. Watch the **dtype, range and shape**. (`">u2"` means: two bytes a number, the high one first.)

# %%
from matplotlib.cbook import get_sample_data
from PIL import Image

with get_sample_data("grace_hopper.jpg") as file:
    photo = picture_to_tensor(Image.open(file))  # bytes -> [-1, 1]
with get_sample_data("s1045.ima.gz") as file:
    mri = np.frombuffer(file.read(), ">u2").reshape(1, 1, 256, 256)        # 2 bytes, high one first
with get_sample_data("eeg.dat") as file:
    eeg = np.frombuffer(file.read(), float).reshape(1, 800, 4)  # 4 electrodes, 10 s
with get_sample_data("jacksboro_fault_dem.npz") as file:
    height = file["elevation"][None, None]  # metres above the sea
mri, eeg, height = (torch.from_numpy(a.astype(np.float32)) for a in (mri, eeg, height))

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
for name, tensor in dict(photo=photo, mri=mri, eeg=eeg, height=height).items():
    shape = str(tuple(tensor.shape))
    print(f"{name:<7}{shape:<19} from {tensor.min():8.1f} to {tensor.max():7.1f}")
fig, axes = plt.subplots(1, 4, figsize=(11, 3.2), width_ratios=(1, 1, 1.2, 1.2))
show.panel(axes[0], tensor_to_picture(photo), "photograph: 3 channels")
show.panel(axes[1], mri[0, 0], "MRI slice: 1 channel", cmap="gray")
axes[2].plot(np.linspace(0, 10, 800), eeg[0] / 8 + torch.arange(4), linewidth=0.6)
axes[2].set(title="EEG: 4 channels", xlabel="seconds", yticks=[])
show.panel(axes[3], height[0, 0], "heights: 1 channel", cmap="cividis")
show.figure(fig, alt="Four real recordings: a portrait photograph, a gray slice through a "
                     "head, four wavering voltage curves, and a map of heights with "
                     "ridges.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# Look at the ranges: −1 to 1, some hundreds, a few units of voltage. Feed these to one model and the largest numbers drown the rest. So every modality is **normalized**: subtract a mean, divide by a spread. With data to train and to test on, both come from the training data.
#
# The MRI file hides a trap. Read its two bytes in the other order and the picture looks **the same**: every number is only 256 times too large. Print the range before you trust a file.

# %% slideshow={"slide_type": "-"}
def normalized(x):
    """Mean 0 and spread 1, one number for the whole tensor."""
    return (x - x.mean()) / x.std()


with get_sample_data("s1045.ima.gz") as file:
    other = np.frombuffer(file.read(), "<u2").astype(np.float32)
print(f"largest MRI number: {mri.max():.0f}; bytes the other way round: {other.max():.0f}")
for name, tensor in dict(mri=mri, eeg=eeg, height=height).items():
    x = normalized(tensor)
    print(f"{name:<7} after: mean {x.mean().abs():.1f}, spread {x.std():.1f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Everything becomes a row of tokens
# A Transformer takes a sequence of vectors. Words are one already, and each point is a token. For all else the trick is the same: **cut into pieces, flatten each piece**. Pictures into patches, sound into frames, film into patches of frames, traces into windows.

# %% slideshow={"slide_type": "-"}
def patches(x, size):
    """(B, C, H, W) -> (B, N, C * size * size): squares of size x size, row by row."""
    cut = x.unfold(2, size, size).unfold(3, size, size)  # (B, C, H/p, W/p, p, p)
    cut = cut.permute(0, 2, 3, 1, 4, 5)       # row of patches, column of patches, then the content
    return cut.flatten(3).flatten(1, 2)


tokens = patches(picture, 8)
print("64 patches of 8 x 8 x 3 numbers:", tuple(tokens.shape))
theirs = F.unfold(picture, 8, stride=8).transpose(1, 2)
print("equal to torch's F.unfold:", torch.equal(tokens, theirs))

# %% slideshow={"slide_type": "fragment"} tags=["hide-input"]
fig, axes = plt.subplots(4, 16, figsize=(10, 2.8))
for ax, token in zip(axes.flat, tokens[0]):
    show.panel(ax, (token.view(3, 8, 8).permute(1, 2, 0) + 1) / 2)
fig.suptitle("The picture as 64 tokens, in reading order", x=0.01, ha="left", fontsize=12)
show.figure(fig, alt="The scene cut into 64 small squares in reading order, four rows of "
                     "sixteen; most are white, some hold parts of shapes.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## On the world: what does each modality know?
# A first experiment. Two questions about a scene: **how many things** are in it, and **is something red** there? We ask the *simplest possible model*, one weighted sum of numbers: of the pixels, of the spectrogram (not of the wave), or of the words of one sentence, counted. Fit on 1,500 scenes, three times with others; test on the same 500 new ones. (You need not follow the code of the fit.)
#
# Predict: which modality answers which question best?

# %%
place = {word: i for i, word in enumerate(world.VOCABULARY)}


def features(seed):
    """A scene's picture, sound and one sentence as flat vectors, and the two answers."""
    scene = world.sample(seed)
    picture = torch.from_numpy(world.draw([scene], 32)[0]).flatten() / 127.5 - 1
    tones = spectrogram(torch.from_numpy(world.sound(scene)), 512, 512)[:128].log1p()
    tones = F.adaptive_avg_pool2d(tones[None], (32, 24)).flatten()
    bag = torch.zeros(len(place))
    for word in re.findall(r"\w+", scene.caption(seed)):
        bag[place[word]] += 1
    red = any(thing.color == "red" for thing in scene)
    answers = torch.tensor([len(scene), float(red)])
    return picture, tones, bag, answers


def gather(seeds):
    return [torch.stack(column) for column in zip(*map(features, seeds))]

# %% tags=["nbval-ignore-output"]
def fit_and_test(train, test, train_answers, test_answers):
    """The best weighted sum, in closed form (ridge regression). Returns how often it is right."""
    mean, spread = train.mean(0), train.std(0) + 1e-3
    a, b = (F.pad((x - mean) / spread, (0, 1), value=1) for x in (train, test))
    weights = torch.linalg.solve(a.T @ a + 100 * torch.eye(a.shape[1]), a.T @ train_answers)
    guess = b @ weights
    count = (guess[:, 0].round().clamp(1, 5) == test_answers[:, 0]).float().mean()
    red = ((guess[:, 1] > 0.5) == test_answers[:, 1].bool()).float().mean()
    return count.item(), red.item()


held_out = gather(range(2**31, 2**31 + 500))
results = []  # (run, modality, question)
for run in range(3):
    known = gather(range(run * 10_000, run * 10_000 + 1500))
    results.append([fit_and_test(known[m], held_out[m], known[3], held_out[3])
                    for m in range(3)])
results = torch.tensor(results)
share = held_out[3][:, 1].mean()
sure = results.mean(0)                                                   # (modality, question)
assert sure[1, 0] > sure[0, 0] + 0.05 and sure[2, 1] > sure[0, 1] + 0.05
guess = torch.bincount(held_out[3][:, 0].long()).max() / 500, max(share, 1 - share)
print(f"guessing: count {guess[0]:.0%}, red {guess[1]:.0%}")
for modality, (count, red) in zip(("picture", "sound", "sentence"), sure.tolist()):
    print(f"{modality:<9} count {count:.0%}, red {red:.0%}")

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3), sharey=True)
titles = ("how many things?", "is something red there?")
for question, (ax, title) in enumerate(zip(axes, titles)):
    for modality, name in enumerate(("picture", "sound", "sentence")):
        runs = results[:, modality, question]
        ax.barh(name, runs.mean(), color=show.CYCLE[modality], height=0.6)
        ax.plot(runs, [name] * 3, "|", color=show.INK, markersize=12)
        ax.annotate(f" {runs.mean():.0%}", (runs.max(), name), va="center")
    ax.axvline(guess[question], color=show.QUIET, linestyle=":", linewidth=1)
    ax.set(xlim=(0, 1.12), xlabel="right on new scenes (dotted: guessing)", title=title)
axes[0].invert_yaxis()
show.figure(fig, alt="Bars of the share of right answers for picture, sound and sentence, "
                     "with ticks for three runs and a dotted line for guessing.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# What the bars show, and a guess at why:
#
# - **The sound tells the number best.** Every thing adds strokes, and a weighted sum can add up strokes. (From the wave itself it hardly beats guessing.)
# - **The sentence tells red best.** Somebody has already done the seeing; but a sentence tells only what it mentions.
# - **The picture holds everything,** and our model gets little of it: in a sum of colors, red and a mixture look alike.
#
# *What a modality carries* and *what a model can take out* are two things. Most of this course is about the second.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: make your own scene
# Click on empty ground to place a thing, drag it, change it, or use Tab, the arrow keys and Delete. Sentences and questions follow at once. Then write a sentence of your own: is it true? Try a word that the world does not know.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
from mmcourse import editor

board = editor.edit(scene)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: hear with your eyes
# Set the menu to *sound only* and move the slider from scene to scene. Guess from the spectrogram: how many things, which are large, which are high? Then choose *sound and picture*.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def explore(scene=20, modalities="sound and picture"):
    """A scene's sound as a picture, then the scene and a sentence about it."""
    shown = world.sample(scene)
    tones = spectrogram(torch.from_numpy(world.sound(shown))).log1p()
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.2), width_ratios=(1.6, 1))
    left.imshow(tones, origin="lower", aspect="auto", extent=(0, 2.56, 0, 8))
    left.set(xlabel="seconds: left to right", ylabel="frequency (kHz)", title="what you hear")
    if modalities == "sound and picture":
        show.panel(right, shown.image(256))
        right.set_title(show.wrapped(shown.caption(scene), 34), fontsize=9)
    else:
        right.axis("off")
    return fig, f"The sound of scene {scene} and its picture: {shown.caption(scene)}."


widgets.explorer(explore, scene=(0, 60, 1), modalities=["sound only", "sound and picture"])

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - A modality is a way to meet the world; a model gets each as a tensor with a shape, a dtype and a range.
# - Pictures (B, C, H, W), text (B, T) with a mask, sound (B, samples), video (B, T, C, H, W), points (B, N, 3), sensors (B, T, channels).
# - reshape is not permute. Go there and back, and look at one known pixel.
# - Normalize with numbers from the training data; cut everything into tokens.
# - What a modality carries is not yet what a model can take out.

# %% [markdown] template="words"

# %% [markdown]
# ## Exercises
# Six of them, about 85 minutes: `exercises/01_modalities.ipynb`, which `mmcourse lab` copies to `my_work/`. You will write the tensor of a picture, of a batch of sentences and of a sound, hunt a bug that scrambles films, and count things from pixels alone.

# %% [markdown]
# ## Sources
# - T. Baltrušaitis, C. Ahuja, L.-P. Morency (2019), *Multimodal machine learning: a survey and taxonomy*: what the field calls a modality.
# - J. Johnson and others (2017), *CLEVR: a diagnostic dataset for compositional language and elementary visual reasoning*: a made world that knows its truth.
# - J. Cooley, J. Tukey (1965), *An algorithm for the machine calculation of complex Fourier series*: how `torch.stft` does our dot products quickly.
# - The four recordings: sample data of matplotlib (J. Hunter 2007 and its developers).
