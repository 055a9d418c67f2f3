# ---
# title: The tour
# question: What can a machine do that reads, sees, answers and draws?
# minutes: 10
# level: beginner
# objectives:
#   - draw a picture from a sentence, ask about it, have it described, and check all of it
#   - say what makes a model multimodal, and name the tasks
#   - find your way through the course
# prerequisites: []
# device: Two CPU cores are enough. Nothing is trained here.
# words:
#   multimodal model: 多模态模型
#   text-to-image: 文生图
#   visual question answering: 视觉问答
#   captioning: 图像描述
#   oracle: 真值裁判
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## A sentence becomes a picture
# Four small models wait below. You will build each of them in this course, and all of them trained on nothing but a small world of shapes. Together they are smaller than one photograph from a good camera.
#
# The first one draws. Run the cells from here on with **Shift + Enter**, one after another.

# %%
import matplotlib.pyplot as plt
import torch

from mmcourse import show, widgets, world, zoo

painter, answerer = zoo.load("text2image"), zoo.load("vqa")
teller, judge = zoo.load("captioner"), zoo.load("clip")

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
sentence = "a large red circle, a small blue square and a small yellow star"
picture = painter.draw(sentence, seed=2)
show.pictures([picture.resize((256, 256), 0)], [sentence], columns=1, side=3,
              alt=f"A picture drawn by a small model. It was asked for {sentence}.")

# %% [markdown] slideshow={"slide_type": "subslide"}
# Nobody stored this picture. The model began with random noise and cleared it up in twenty small steps, and the sentence steered every one of them. Then a small eye inside of the model looked at the picture: where it has doubts, the model paints again from other noise. With another seed it draws another picture of the same sentence.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
again = painter.draw([sentence] * 6, seed=10)
show.pictures(again, [f"seed {10 + k}" for k in range(6)], columns=6, side=1.3,
              alt="Six pictures of the same sentence: the same things, each time at other places.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Ask about it
# The second model answers questions. It gets the pixels and the words of the question, nothing else. It does not know what the sentence was.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
asked = ["what color is the circle?", "how many things are there?", "is there a green star?",
         "what shape is the blue thing?"]
answers = [answerer.answer(picture, question) for question in asked]
for question, answer in zip(asked, answers):
    print(f"{question:<32} {answer}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Let it be described
# The third model looks at the picture and writes a sentence about it, word by word. The sentence that we drew from is again hidden from it.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
described = teller.describe(picture)
print(show.wrapped(described, 80))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Is it true?
# Models say things that sound right and are wrong. Photographs do not tell us what is true of them, so for most models that is hard to measure. **This world can:** it has an **oracle**, a program without any learning, which reads the pixels back into a list of things and holds every sentence against it.

# %% slideshow={"slide_type": "-"} tags=["nbval-ignore-output"]
seen = world.read(picture)
print("the oracle sees:", ", ".join(str(thing) for thing in seen))
for said in (sentence, described, "there is a green star"):
    print(show.wrapped(f"{world.satisfies(seen, said)!s:<5}  {said}", 80))

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### All of it at once
# Eight sentences that none of the models has been tested on here before. Each picture is drawn, described and judged: ✓ if the picture shows what was asked, and ✓ again if the description of it is true. Both models check themselves and may try again, the painter up to 100 times, the describer up to 8. The oracle takes no part in that, it only marks. Lesson 34 shows how often the first try is right.

# %% slideshow={"slide_type": "subslide"} tags=["hide-input", "nbval-ignore-output"]
wanted = [prompt.text for kind in ("position", "attribute binding", "count", "everything")
          for prompt in world.prompts(kind, 2, seed=3)]
drawn = painter.draw(wanted, seed=5)
told = teller.describe(drawn)
right = [world.satisfies(world.read(image), said) for image, said in zip(drawn, wanted)]
true = [world.satisfies(world.read(image), said) for image, said in zip(drawn, told)]
mark = {True: "✓", False: "✗"}
fig, axes = plt.subplots(2, 4, figsize=(11, 5.2))
for k, ax in enumerate(axes.flat):
    show.panel(ax, drawn[k])
    lines = f"{mark[right[k]]} {wanted[k]}", f"{mark[true[k]]} “{told[k]}”"
    ax.set_title("\n".join(show.wrapped(line, 38) for line in lines), y=0, pad=-4, va="top",
                 loc="center", fontsize=9)
show.figure(fig, alt="Eight drawn pictures. Under each stand the sentence that was asked for and the "
                     "sentence that another model says about it, with a mark for right or wrong.")
print(f"{sum(right)} of 8 pictures show what was asked; {sum(true)} of 8 descriptions are true.")

# %% tags=["hide-input"]
assert sum(right) >= 5 and sum(true) >= 6

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which sentence belongs to which picture?
# The fourth model writes nothing and draws nothing. It turns pictures and sentences into arrows in one space, so that what belongs together points nearly the same way. Below, each row is a picture, each column one of the eight sentences, in reading order; dark means near. (The numbers are cosines: 1 is the same direction, 0 unrelated, and below 0 is shown as 0.) A second dark cell need not be a mistake: *one square* is true of several pictures.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
near = judge.similarity(drawn, wanted)
fig, ax = plt.subplots(figsize=(6.5, 4))
show.matrix(ax, near.clamp(0, 1), rows=[f"picture {k + 1}" for k in range(8)],
            columns=[f"s{k + 1}" for k in range(8)], title="Pictures are nearest to their own sentences")
show.figure(fig, alt="A matrix of eight pictures and eight sentences. Most rows are darkest on the "
                     "diagonal, where picture and sentence belong together.")
own = (near.argmax(1) == torch.arange(8)).sum()
print(f"{own} of 8 pictures are nearest to the sentence they were drawn from.")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What multimodal means
# A **modality** is a way in which the world reaches a machine: text, pictures, sound, film, points in space, the curves of a sensor. A **multimodal model** takes in or gives out more than one of them and *relates* them.
#
# | task | in | out | lesson |
# |---|---|---|---|
# | retrieval, zero-shot classification | picture, sentences | the one that fits | [21](21_contrastive.ipynb) |
# | visual question answering | picture, question | an answer | [31](31_vqa.ipynb) |
# | captioning | picture | a sentence | [32](32_captioning.ipynb) |
# | text-to-image | sentence | a picture | [34](34_text2image.ipynb) |

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Five problems behind all of them
# Baltrušaitis, Ahuja and Morency (2019) sorted the field by what is hard about it, and the course meets all five:
#
# - **Representation:** as which numbers does each modality enter? (01, 13, 14)
# - **Alignment:** which part of one belongs to which part of the other? (11, 21)
# - **Fusion:** where and how are they joined? (22)
# - **Translation:** how does one become the other? (31 to 34)
# - **Co-learning:** what does one teach about the other? (21: sentences teach an eye to name things)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The map
# One small world feeds every lesson. What you build in one part is a part of what you build in the next. Run the cell below in JupyterLab: then a click on a box opens its lesson.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
boxes = {"01": (0, 1, "the world", "modalities"), "11": (1, 1, "attention", "attention"),
         "12": (2, 1, "Transformer", "transformer"), "13": (3, 0, "language model", "language_model"),
         "14": (3, 1, "vision\nTransformer", "vision_transformer"), "33": (4, 2, "diffusion", "diffusion"),
         "21": (4, 0, "CLIP", "contrastive"), "22": (4, 1, "fusion", "fusion"),
         "31": (5, 0, "answers", "vqa"), "32": (5, 1, "captions", "captioning"),
         "34": (5, 2, "drawing", "text2image"), "35": (6, 1, "a multimodal\nLLM", "")}
lines = ("01-11 11-12 12-13 12-14 14-21 14-22 14-31 14-32 14-33 "
         "21-34 32-34 33-34 13-35 31-35 32-35 34-35")
fig = plt.figure(figsize=(10.5, 3.3), layout="none")
ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.5, 6.5), ylim=(2.5, -0.5))
ax.axis("off")
ax.text(-0.45, -0.3, "Lines: what is built from what. Gray: not written yet", fontsize=12)
for ends in (line.split("-") for line in lines.split()):
    ax.plot(*zip(*(boxes[end][:2] for end in ends)), color="#cccccc", lw=1.5, zorder=0)
for number, (x, y, name, lesson) in boxes.items():
    color = show.INK if lesson else show.QUIET
    ax.text(x, y, f"{name}\n{number}", ha="center", va="center", color=color, fontsize=9.5,
            bbox={"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": color})
pages = {(x, y): (f"{number}_{lesson}.ipynb", f"{number} {name}")
         for number, (x, y, name, lesson) in boxes.items() if lesson}
widgets.atlas(fig, "A map of the course: from the world by way of attention and the Transformer "
              "to models that answer, describe and draw.", columns=7, rows=3, links=pages)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Where you can go
# Click a lesson to open it. What has no link yet is still being built.
#
# | part | lessons |
# |---|---|
# | Start here | [01 Modalities](01_modalities.ipynb) |
# | The Transformer | [11 Attention](11_attention.ipynb) · [12 Transformer](12_transformer.ipynb) · [13 Language model](13_language_model.ipynb) · [14 Vision Transformer](14_vision_transformer.ipynb) |
# | Bringing modalities together | [21 CLIP](21_contrastive.ipynb) · [22 Fusion](22_fusion.ipynb) |
# | Answer, describe, draw | [31 VQA](31_vqa.ipynb) · [32 Captioning](32_captioning.ipynb) · [33 Diffusion](33_diffusion.ipynb) · [34 Text to image](34_text2image.ipynb) · 35 Multimodal LLM · 36 Any-to-any |
# | Sound, film, points | 41 Audio · 42 Video · 43 Points and sensors |
# | In practice | 51 to 57 |

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Where the applications come from
# The last part of the course is planned to build four small applications; it is not written yet. None needs a new idea:
#
# | application | made of |
# |---|---|
# | customer service: "my order shows two stars, I bought three" | answering (31), a dialogue (35) |
# | education: a tutor that draws, asks, and marks the answer | drawing (34), answering (31), the oracle (01) |
# | medicine: say what is seen, and how sure one is | captioning (32), calibration (31) |
# | stories: a text and its pictures, page by page | language model (13), drawing (34) |

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it: your own sentence
# Type a sentence and a question. Things can be circles, squares, triangles and stars in six colors, small or large, up to four of them; *left of*, *right of*, *above* and *below* are understood. A word that the world does not know is named.

# %% slideshow={"slide_type": "-"} tags=["hide-input", "nbval-ignore-output"]
def all_of_it(sentence="a blue circle left of a red square", question="is there a circle?", seed=0):
    """Draw a sentence, answer a question about the picture, describe it, and judge everything."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), width_ratios=(1, 1.4))
    right.axis("off")
    try:
        image = painter.draw(sentence, seed=seed)
        shown = world.read(image)
        caption, answer = teller.describe(image), answerer.answer(image, question)
        lines = [f"{mark[world.satisfies(shown, sentence)]} it shows: {sentence}", f"{question}\n   {answer}",
                 f"{mark[world.satisfies(shown, caption)]} described: {caption}"]
        show.panel(left, image.resize((256, 256), 0))
    except ValueError as error:
        lines = [str(error)]
        left.axis("off")
    text = "\n\n".join(show.wrapped(line, 46) for line in lines)
    right.text(0, 0.95, text, va="top", fontsize=11)
    return fig, f"A drawn picture and what the models say of it. {' '.join(' '.join(lines).split())}"


widgets.explorer(all_of_it, sentence="a blue circle left of a red square",
                 question="is there a circle?", seed=(0, 20, 1))

# %% [markdown] slideshow={"slide_type": "notes"}
# Live: let the room dictate a sentence, and before you press Enter let it guess what will go wrong. Then ask for an elephant. Then for five circles (it tries 100 times, so wait): the models have seen pictures of at most four things when they learned to draw.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## In short
# - Four small models draw, answer, describe and compare. You will build all of them.
# - A multimodal model relates modalities: it translates, aligns and joins them.
# - In this world every claim can be checked exactly, so you will always know how good a model is.
# - Lessons 11 to 34: a question, a picture, short code, a model that works, and exercises with checks.

# %% [markdown] template="words"

# %% [markdown]
# ## What comes next
# [Lesson 01](01_modalities.ipynb) shows one scene as text, picture, sound, film, points and sensor trace, and what a machine gets of each. You need Python and a little PyTorch. A lesson takes 70 to 100 minutes; go in order, the line under each title says which lessons it needs. After a lesson open its exercises in `my_work/` (`mmcourse lab` puts them there; the originals are in `exercises/`): write an answer, run the check, read its hint. This is how far you are:

# %% tags=["nbval-ignore-output"]
from mmcourse import progress

progress.widget()

# %% [markdown]
# ## Sources
# - T. Baltrušaitis, C. Ahuja and L.-P. Morency (2019), *Multimodal machine learning: a survey and taxonomy*: the five problems.
# - D. Ghosh, H. Hajishirzi and L. Schmidt (2023), *GenEval*: judging drawn pictures thing by thing, the idea behind our oracle's marks.
