# ---
# title: Transformer
# minutes: 85
# prerequisites: [12]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 12.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse.checks import check

# %% [markdown] task="12.1"
# ## 12.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below. D is the width, a block is the encoder's: attention and a feed-forward network of 4D, and only the large matrices count (no biases, no norms).

# %% [markdown] task="12.1"
# | key | what it is |
# |---|---|
# | `block` | parameters of a block for D = 64 |
# | `share` | the feed-forward network's share of them, from 0 to 1 |
# | `reads` | the target is `[8, 5, 9, 2]` (2 is END, 1 is START): the list that the decoder reads |
# | `first_loss` | a good first loss (nats) with 50 words in the vocabulary |
# | `order` | without positions: does the encoder's output for *dog* change between "dog bites man" and "man bites dog"? |
# | `passes` | a target of 12 words, trained by teacher forcing: how often does the decoder run? |

# %% answer="12.1"
def predictions():
    ### BEGIN SOLUTION
    return {"block": 49152, "share": 2 / 3, "reads": [1, 8, 5, 9], "first_loss": 3.912, "order": False, "passes": 1}
    ### END SOLUTION

# %% check="12.1" points=2
check("12.1", predictions)

# %% [markdown] task="12.1"
# <details><summary>Hint 1</summary>
#
# Attention has four matrices of D × D: query, key, value, output. The feed-forward network has one of D × 4D and one of 4D × D.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A model that knows nothing gives each of K words 1/K, and the loss is the negative logarithm of what the true word got.
#
# </details>

# %% [markdown] task="12.2"
# ## 12.2 Turn the positions
# *3 points · 15 minutes · medium*
#
# Write rotary positions as in the original paper (Su et al. 2021): **neighbors** form a pair, numbers 2i and 2i + 1. (The lesson's function, as Llama, pairs number i with number i + d/2.)
#
# - `x` (B, T, d), d even; `places` (T,), whole or broken numbers. Return (B, T, d).
# - Pair i of the word at place p turns by the angle $p / 10000^{2i/d}$: $(a, b)$ becomes $(a \cos - b \sin,\; a \sin + b \cos)$.

# %% [markdown] task="12.2"
# Example: d = 2, the vector (1, 0) at place 1 becomes (cos 1, sin 1) = (0.54, 0.84).

# %% answer="12.2"
def turn(x, places):
    ### BEGIN SOLUTION
    spin = places[:, None] / 10000 ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    even, odd = x[..., 0::2], x[..., 1::2]
    out = torch.empty_like(x)
    out[..., 0::2] = even * spin.cos() - odd * spin.sin()
    out[..., 1::2] = even * spin.sin() + odd * spin.cos()
    return out
    ### END SOLUTION

# %% check="12.2" points=3
check("12.2", turn)

# %% [markdown] task="12.2"
# <details><summary>Hint 1</summary>
#
# `x[..., 0::2]` are the first numbers of all pairs, `x[..., 1::2]` the second ones. The angles form a table (T, d/2).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Put the two results back between one another: assign to the same slices of a new tensor, or stack on a new last axis and flatten it.
#
# </details>

# %% [markdown] task="12.3"
# ## 12.3 A block
# *3 points · 15 minutes · medium*
#
# Write the block of the encoder, for both places of the norm.
#
# - `x` (B, T, D). `attend`, `think`, `norm1`, `norm2` are functions (B, T, D) → (B, T, D); `norm_first` is True or False. Return (B, T, D).
# - `norm1` belongs to attention, `norm2` to the feed-forward network `think`.

# %% [markdown] task="12.3"
# Example with plain numbers in place of vectors: x = 1, attend adds 1, think doubles, both norms multiply by 10. Pre-norm: 1 + attend(10) = 12, then 12 + think(120) = 252. Post-norm: norm1(1 + 2) = 30, then norm2(30 + 60) = 900.

# %% answer="12.3"
def block(x, attend, think, norm1, norm2, norm_first):
    ### BEGIN SOLUTION
    for part, scale in ((attend, norm1), (think, norm2)):
        if norm_first:
            x = x + part(scale(x))
        else:
            x = scale(x + part(x))
    return x
    ### END SOLUTION

# %% check="12.3" points=3
check("12.3", block)

# %% [markdown] task="12.3"
# <details><summary>Hint 1</summary>
#
# Two steps, one for each part, and both end in a sum with the stream. Where is the norm: around what the part reads, or around the sum?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# In the second step the stream is what came out of the first, not the `x` that came in.
#
# </details>

# %% [markdown] task="12.4"
# ## 12.4 Find the bug
# *3 points · 15 minutes · medium*
#
# Somebody moved from language models to an encoder-decoder and took his loss along. The decoder here reads START and the true words, so `logits[:, t]` already is its guess of `target[:, t]`. Training runs, the curve falls, but what the model writes always lacks its first word.
#
# Two invariants are broken: a model that knows every word has loss 0, and more padding changes nothing.

# %%
def loss_broken(logits, target):
    """logits (B, T, V), target (B, T) whole numbers, 0 is padding -> one number"""
    guesses, truth = logits[:, :-1], target[:, 1:]
    each = F.cross_entropy(guesses.flatten(0, 1), truth.flatten(), reduction="none")
    return (each * (truth.flatten() != 0)).mean()


target = torch.tensor([[5, 3, 4, 2], [6, 2, 0, 0]])
knows = 50.0 * F.one_hot(target, 8)                      # logits that are sure of the truth
print(f"knows everything: {loss_broken(knows, target):.2f}")
torch.manual_seed(0)
logits = torch.randn(2, 4, 8)
more = F.pad(logits, (0, 0, 0, 3)), F.pad(target, (0, 3))
print(f"a random model: {loss_broken(logits, target):.3f}, with more padding: {loss_broken(*more):.3f}")

# %% [markdown] task="12.4"
# Write the loss as it should be: the mean over all real words, END (2) included. There are two mistakes.

# %% answer="12.4"
def writing_loss(logits, target):
    ### BEGIN SOLUTION
    surprise = -logits.log_softmax(-1).gather(2, target.unsqueeze(2)).squeeze(2)
    return surprise[target > 0].mean()
    ### END SOLUTION

# %% check="12.4" points=3
check("12.4", writing_loss)

# %% [markdown] task="12.4"
# <details><summary>Hint 1</summary>
#
# Print `guesses` and `truth` for a short target: which guess meets which word? The decoder's input was shifted once already.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `.mean()` divides by the number of all places. How many of them are words?
#
# </details>

# %% [markdown] task="12.5"
# ## 12.5 Write greedily
# *4 points · 15 minutes · medium*
#
# Let a model write a whole batch.
#
# - `guess(written)` takes words (B, t) and returns logits (B, t, V): at each place those of the next word. `start` (B,) holds the first words.
# - Take the likeliest word, add it, ask again, until every row has written END (2) or has `longest` words.
# - Return (B, n) **without** the start words, n as short as possible. After its END a row holds only PAD (0).

# %% [markdown] task="12.5"
# Example: row 0 writes 7, 8, END and row 1 writes END at once: `[[7, 8, 2], [2, 0, 0]]`.

# %% answer="12.5"
def write(guess, start, longest):
    ### BEGIN SOLUTION
    text, open_rows = start.unsqueeze(1), torch.ones(len(start), dtype=torch.bool)
    for _ in range(longest):
        best = guess(text).argmax(-1)[:, -1]
        best = torch.where(open_rows, best, 0)
        text = torch.hstack([text, best.unsqueeze(1)])
        open_rows &= best != 2
        if not open_rows.any():
            break
    return text[:, 1:]
    ### END SOLUTION

# %% check="12.5" points=4
check("12.5", write)

# %% [markdown] task="12.5"
# <details><summary>Hint 1</summary>
#
# Only the last place of the logits says something new. Keep a boolean per row: has it ended?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A row that has ended goes on being asked, because the batch is asked as one. What it says is replaced by PAD.
#
# </details>

# %% [markdown] task="12.6"
# ## 12.6 Open challenge: a head that looks back
# *4 points · 15 minutes · hard*
#
# Build by hand an attention head that always looks at the word `back` places before, whatever the words are. It sees only the waves of the lesson: row t of `p` (T, D) is sin and cos of t / 10000^(2i/D), in turn. Scores are `(p @ w_query) @ (p @ w_key).T / sqrt(D)`, then a softmax over all places.

# %% [markdown] task="12.6"
# - Return `w_query` and `w_key`, both (D, D), for the width D (even, 32 or more) and `back` (1 to 5).
# - Score: the weight that lies on place t − back, mean over all t ≥ back, in sentences of 40 words. **Target: 90%.**

# %% answer="12.6"
def look_back(d_model, back):
    ### BEGIN SOLUTION
    w_query = torch.zeros(d_model, d_model)
    for i in range(0, d_model, 2):
        angle = torch.tensor(back / 10000 ** (i / d_model))
        w_query[i, i] = w_query[i + 1, i + 1] = angle.cos()
        w_query[i + 1, i], w_query[i, i + 1] = -angle.sin(), angle.sin()
    return 100 * w_query, torch.eye(d_model)
    ### END SOLUTION

# %% check="12.6" points=4
check("12.6", look_back)

# %% [markdown] task="12.6"
# <details><summary>Hint 1</summary>
#
# The dot product of two rows of waves is largest when they are the same row. Which matrix turns row t into row t − back, for every t?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Each pair (sin a, cos a) has to become (sin(a − b), cos(a − b)), where b is `back` times the rate of that pair: a 2 × 2 turn on the diagonal. Then make it loud enough.
#
# </details>
