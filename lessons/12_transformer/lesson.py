# ---
# title: Transformer
# question: The same words in another order mean something else. How does a machine read a question and write down the steps to its answer?
# minutes: 90
# level: intermediate
# objectives:
#   - give words a place in three ways, and show what fails without one
#   - build encoder and decoder from blocks along a residual stream, equal to PyTorch and Marian
#   - train with teacher forcing, and catch a wrong label shift without training
#   - choose where the norm goes and why the learning rate warms up, by experiment
#   - train an encoder-decoder that turns questions into programs, judged by running them
# prerequisites: [11]
# device: Two CPU cores are enough; a GPU trains longer.
# words:
#   Transformer: Transformer 模型
#   encoder, decoder: 编码器、解码器
#   position encoding: 位置编码
#   residual stream: 残差流
#   feed-forward network: 前馈网络
#   layer normalization: 层归一化
#   teacher forcing: 教师强制
#   warm-up: 学习率预热
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Same words, another meaning
# Two questions about one picture. They are made of exactly the same words. Do they have the same answer?
#
# - *what color is the **large** circle left of the **small** square?*
# - *what color is the **small** circle left of the **large** square?*

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import budget, device, show, widgets, world, zoo
from mmcourse.models.attention import MultiHeadAttention
from mmcourse.training import fit, moved

# %% slideshow={"slide_type": "-"} tags=["hide-input"]
scene = world.Scene((world.Object("circle", "red", "large", x=0.15, y=0.3),
                     world.Object("square", "blue", "small", x=0.45, y=0.3),
                     world.Object("circle", "green", "small", x=0.4, y=0.75),
                     world.Object("square", "yellow", "large", x=0.75, y=0.75)))
one = "what color is the large circle left of the small square?"
other = "what color is the small circle left of the large square?"
caption = f"{world.answer(scene, one)}, and {world.answer(scene, other)}"
show.pictures([scene.image(256)], [caption], side=2.4,
              alt="A large red circle left of a small blue square, and below a small green "
                  "circle left of a large yellow square. The answers: red, and green.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Red and green. Now ask the attention of lesson 11 to read both. Each word becomes a vector, attention mixes them, and the mean over the words stands for the question. Predict: how far apart are the two questions?

# %% slideshow={"slide_type": "-"}
def words(text):
    return text.replace("?", " ?").split()


vocabulary = sorted(set(words(one)))
ids = torch.tensor([[vocabulary.index(word) for word in words(text)] for text in (one, other)])
torch.manual_seed(0)
embedding, mix = nn.Embedding(len(vocabulary), 32), MultiHeadAttention(32, num_heads=4)
meaning = mix(embedding(ids))[0].mean(1)                                      # (2, 32)
print("same words:", sorted(words(one)) == sorted(words(other)))
print("same vector:", torch.allclose(meaning[0], meaning[1], atol=1e-6))

# %% [markdown] slideshow={"slide_type": "notes"}
# Lesson 11 showed it as a theorem: self-attention is permutation equivariant, so a mean of its outputs cannot know the order. Here the price is visible: whatever is trained behind that vector, it must give both questions the same answer.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The goal: from a question to its steps
# A question can be answered in small steps: take the scene, keep the small squares, of these the only one, what is left of it, ... Such a list of steps is a **program**. The world can run it on any scene.
#
# Written as a row of words, each head before its parts, a program is just a sentence of another language. To *translate* a question into it is today's task: **read one sequence, write another**.

# %% include="mmcourse/recipes/parser.py::flat" slideshow={"slide_type": "subslide"}

# %% slideshow={"slide_type": "-"}
for text in (one, other):
    program = world.parse(text)
    print(text)
    print("   program:", " ".join(flat(program)))
    print("   run on the scene:", world.execute(program, scene))

# %% [markdown] slideshow={"slide_type": "-"}
# No brackets are needed: every step has a fixed number of parts, so the row can be turned back into a tree (`nested`, below). This is how Yi et al. (2018) answered questions about pictures: one model reads the picture into a scene, another the question into a program, and the program runs.

# %% include="mmcourse/recipes/parser.py::nested" tags=["hide-input"]

# %% [markdown] slideshow={"slide_type": "notes"}
# Why a program and not the answer? Because it can be judged exactly, and because a wrong one can be read. Lesson 31 answers directly from pixels. `world.parse` is a hand-written parser: it is our truth, and the model never sees it.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Positions, first way: waves
# Give every place $t$ a vector of its own and **add** it to the word. The number $t$ alone would grow without bound. Clocks do better: a fast hand, a slower one, a slower one still. Together they name any moment, and all numbers stay between −1 and 1.
#
# $$p_{t,\,2i} = \sin\frac{t}{10000^{2i/D}}, \qquad p_{t,\,2i+1} = \cos\frac{t}{10000^{2i/D}}$$
#
# $t$ is the place, $D$ the width, $i$ from 0 to $D/2 - 1$ counts the hands.

# %% [markdown] slideshow={"slide_type": "subslide"}
# **By hand.** Let $D = 4$: two hands. The first turns by 1 radian per word, the second by $1/10000^{2/4} = 0.01$.
#
# Predict the rows for $t = 0$, $1$ and $2$ (sin 1 = 0.84, cos 1 = 0.54, sin 2 = 0.91, cos 2 = −0.42).
#
# <details><summary>Answer</summary>
#
# t = 0: (0, 1, 0, 1). t = 1: (0.84, 0.54, 0.01, 1.00). t = 2: (0.91, −0.42, 0.02, 1.00). The first pair goes round quickly, the second has hardly moved.
#
# </details>

# %% include="mmcourse/models/transformer.py::sinusoidal" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"}
print(sinusoidal(3, 4).mul(100).round().div(100).tolist())

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
table = sinusoidal(48, 32)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(1.1, 1))
left.imshow(table.T, cmap="cividis", aspect="auto")
left.set(xlabel="place t", ylabel="number in the vector", title="Fast hands above, slow ones below")
for place in (8, 24, 40):
    line, = right.plot(table @ table[place])
    right.annotate(f"place {place}", (place, 16), xytext=(0, 4), textcoords="offset points",
                   ha="center", color=line.get_color())
right.set(xlabel="place t", ylabel="dot product", ylim=(2, 18.5),
          title="Each place is most like itself and its neighbors")
show.figure(fig, alt="Left the table of waves: fast stripes in the upper rows, slow ones below. "
                     "Right the dot products of places 8, 24 and 40 with all places: three "
                     "curves of the same form, each with its peak of 16 at its own place.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# The three curves have the same form. That is no accident: $\sin a \sin b + \cos a \cos b = \cos(a - b)$, so the dot product of two places depends only on their **distance**. "The word before me" looks the same everywhere in the sentence.

# %% slideshow={"slide_type": "-"}
near = [(table[t] @ table[t + 5]).item() for t in (0, 10, 40)]
print("five words apart, at places 0, 10 and 40:", [round(value, 3) for value in near])

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Second way: learn them
# Or let training find the vectors: a table with one row per place, like the table of words. BERT, GPT-2 and the vision Transformer of lesson 14 do that. The price: place 65 has no row if training ended at 64.

# %% include="mmcourse/models/transformer.py::TokenEmbedding" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "subslide"}
torch.manual_seed(0)
for positions in (None, "sinusoidal", "learned"):
    embed, mix = TokenEmbedding(len(vocabulary), 32, positions), MultiHeadAttention(32, 4)
    meaning = mix(embed(ids))[0].mean(1)
    told = not torch.allclose(meaning[0], meaning[1], atol=1e-6)
    print(f"positions {positions}: the two questions can be told apart: {told}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Third way: turn them
# Su et al. (2021) add nothing. They **turn** queries and keys, pair of numbers by pair, by an angle that grows with the place. A turn keeps lengths. And the angle between a query at place 7 and a key at place 4 is the same as between places 3 and 0: what is left in the score is the distance.
#
# Predict: a query at place 5 and a key at place 2 both move ten words to the right. What happens to their score?

# %% include="mmcourse/models/transformer.py::rotary" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
pair = torch.tensor([[1.0, 0.2]]), torch.tensor([[0.7, 0.7]])                # a query and a key
fig, axes = plt.subplots(1, 3, figsize=(9.2, 3.2), sharex=True, sharey=True)
for ax, (q_place, k_place) in zip(axes, ((0, 0), (5, 2), (15, 12))):
    q, k = (0.5 * torch.tensor(place) for place in (q_place, k_place))  # half a radian a word
    q, k = rotary(pair[0], q[None])[0], rotary(pair[1], k[None])[0]
    for vector, name, color in ((q, "query", show.ACCENT), (k, "key", show.CYCLE[1])):
        ax.annotate("", vector, (0, 0), arrowprops={"arrowstyle": "->", "color": color, "lw": 2})
        ax.annotate(name, 1.12 * vector, ha="center", va="center", color=color)
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color=show.QUIET, linewidth=0.8))
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[],
           title=f"places {q_place} and {k_place}: score {q @ k:.2f}")
show.figure(fig, alt="A query and a key as arrows in a circle. At places 5 and 2 and at places "
                     "15 and 12 both point elsewhere, but the angle between them is the same "
                     "and so is their score.")

# %% [markdown] slideshow={"slide_type": "fragment"}
# Nothing, to the last digit: 5 − 2 = 15 − 12. Rotary positions are used by Llama and most language models since, and by lesson 13. They enter in every attention, not once at the door.
#
# | way | where it enters | longer than trained? | used by |
# |---|---|---|---|
# | waves | added to the words | yes, less exactly | Vaswani et al. (2017), Marian |
# | learned | added to the words | no | BERT, GPT-2, ViT |
# | rotary | turns queries and keys | yes, less exactly | Llama |

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The residual stream
# Every word now has a vector. It travels through the model on its own line, and each part does the same three things: **read** the vector, compute something, **add** it back.
#
# $$x \leftarrow x + \text{part}(x)$$
#
# What is added stays readable for all later parts. And the derivative of $x + \text{part}(x)$ contains a 1: however weak the part, the gradient gets through. How much does that matter? Stack 24 layers and look at what arrives at the first.

# %% slideshow={"slide_type": "fragment"}
def first_gradient(residual, depth=24, width=64):
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(width, width), nn.GELU()) for _ in range(depth)]
    x = torch.randn(100, width)
    for layer in layers:
        x = x + layer(x) if residual else layer(x)
    x.std().backward()
    return layers[0][0].weight.grad.norm().item()


print(f"plain stack:    the gradient is below 1e-6: {first_gradient(False) < 1e-6}")
print(f"with residuals: it is above 0.01:           {first_gradient(True) > 0.01}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Between words, within a word
# Two kinds of parts alternate. **Attention** moves information *between* positions. A **feed-forward network** works on each position by itself: make it four times wider, bend it, make it narrow again.
#
# Predict: a block has one attention and one feed-forward network, width D. Which of the two holds more of the parameters?
#
# <details><summary>Answer</summary>
#
# Attention has four D × D matrices, the feed-forward network two of D × 4D, which is eight: two thirds of the parameters sit there.
#
# </details>

# %% include="mmcourse/models/transformer.py::FeedForward" slideshow={"slide_type": "-"}

# %% slideshow={"slide_type": "fragment"}
def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


print(f"attention {size(MultiHeadAttention(64, 4)):,}, feed-forward {size(FeedForward(64)):,}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ### Keep the size in check
# If every part adds, the stream grows. **Layer normalization** (Ba et al. 2016) takes one vector, subtracts its mean, divides by its standard deviation, and then lets the model choose scale and shift for each number.
#
# By hand: $x = (1, 2, 6)$. The mean is 3, the differences (−2, −1, 3), the variance $14/3$, its root 2.16. Result: (−0.93, −0.46, 1.39).

# %% slideshow={"slide_type": "fragment"}
x = torch.tensor([1.0, 2.0, 6.0])
print([round(value, 2) for value in nn.LayerNorm(3)(x).tolist()])

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One block
# Where does the norm go? The first Transformer normalized the **sum** (post-norm). Today nearly all normalize only what a part **reads**, and leave the stream alone (pre-norm). One line of difference; we will see what it does.
#
# The block can hold a third part, cross-attention, for models that write *about* something. The encoder leaves it out.

# %% include="mmcourse/models/transformer.py::Block" slideshow={"slide_type": "subslide"}

# %% slideshow={"slide_type": "subslide"} tags=["hide-input"]
def stream(ax, y, names, start, end):
    """One line with parts above it: a stem up from the line, and an arrow back down to a plus."""
    ax.annotate("", (9.3, y), (0.9, y), arrowprops={"arrowstyle": "->", "lw": 3, "color": show.INK})
    ax.text(0.8, y, start, ha="right", va="center")
    ax.text(9.4, y, end, va="center")
    for x, name in zip(np.linspace(1.3, 8.3, 6)[::6 // len(names)], names):
        wide = 1.15
        ax.add_patch(plt.Rectangle((x - 0.1, y + 0.55), wide, 0.75, color=show.ACCENT, alpha=0.15))
        ax.text(x - 0.1 + wide / 2, y + 0.92, name, ha="center", va="center", fontsize=9)
        ax.plot([x, x], [y, y + 0.55], color=show.ACCENT)
        ax.annotate("", (x + wide - 0.2, y), (x + wide - 0.2, y + 0.55),
                    arrowprops={"arrowstyle": "->", "color": show.ACCENT, "shrinkB": 6})
        ax.text(x + wide - 0.2, y, "+", ha="center", va="center", fontsize=12,
                bbox={"boxstyle": "circle,pad=0.1", "fc": "white", "ec": show.ACCENT})


fig, ax = plt.subplots(figsize=(11, 4.4))
stream(ax, 3.0, ["self-\nattention", "feed-\nforward"] * 1 + ["self-\nattention"], "question", "context")
plt.close(fig)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Encoder and decoder
# PLACEHOLDER
