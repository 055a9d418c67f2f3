# ---
# title: Fusion
# minutes: 105
# prerequisites: [22]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 22 and in those before it.

# %%
import torch
import torch.nn.functional as F

from mmcourse.checks import check

# %% [markdown] task="22.1"
# ## 22.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six numbers of the table below.

# %% [markdown] task="22.1"
# | key | what it is |
# |---|---|
# | `cells` | XOR has four cells; how many can an answer f(a) + g(b) get right at most? |
# | `loss` | and its smallest cross-entropy, to three digits? |
# | `joined` | two vectors of 64 features, side by side: how many features? |
# | `rows` | `torch.cat((a, b), 0)` of two (32, 64) tensors: how many rows? |
# | `weights` | a full bilinear layer from 64 and 64 features to 2 answers, without bias: how many weights? |
# | `best` | one sign whose dial is at 0.5: the best accuracy from it, from 0 to 1? |

# %% answer="22.1"
def predictions():
    ### BEGIN SOLUTION
    return {"cells": 3, "loss": 0.693, "joined": 2 * 64, "rows": 32 + 32, "weights": 64 * 64 * 2, "best": (1 + 0.5) / 2}
    ### END SOLUTION

# %% check="22.1" points=2
check("22.1", predictions)

# %% [markdown] task="22.1"
# <details><summary>Hint 1</summary>
#
# The proof in the lesson answers the first two: the mean loss is at least that of a logit of zero.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Bilinear: every feature of one times every feature of the other, with a weight for each product and answer.
#
# </details>

# %% [markdown] task="22.2"
# ## 22.2 Late fusion that survives a loss
# *3 points · 15 minutes · easy*
#
# Two models have answered. Average the logits of those that are there.
#
# - `a`, `b` (B, K): logits of the first and the second modality; `present` (B, 2) booleans.
# - Return (B, K): the mean of the logits that are there. Where nothing is there: zeros.
#
# Example: `a` = [2, 0], `b` = [0, 4]. Both there: [1, 2]. Only the first: [2, 0].

# %% answer="22.2"
def late(a, b, present):
    ### BEGIN SOLUTION
    share = present.float() / present.sum(1, keepdim=True).clamp(min=1)
    return torch.einsum("bm,mbk->bk", share, torch.stack([a, b]))
    ### END SOLUTION

# %% check="22.2" points=3
check("22.2", late)

# %% [markdown] task="22.2"
# <details><summary>Hint 1</summary>
#
# A boolean times a logit keeps it or makes it zero. By what do you divide then?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `present.sum(1, keepdim=True)` is (B, 1). It may be zero: `clamp(min=1)`.
#
# </details>

# %% [markdown] task="22.3"
# ## 22.3 Bilinear at low rank
# *3 points · 20 minutes · medium*
#
# A full bilinear layer has a matrix for each answer k: logit k = aᵀ Mₖ b. At low rank each matrix is a weighted sum of R products: Mₖ = Σᵣ W[k, r] · U[r] V[r]ᵀ. There is no need to make the matrices.
#
# - `a` (B, D), `b` (B, E), `U` (R, D), `V` (R, E), `W` (K, R).
# - Return (B, K).

# %% answer="22.3"
def low_rank(a, b, U, V, W):
    ### BEGIN SOLUTION
    return torch.einsum("bd,rd,be,re,kr->bk", a, U, b, V, W)
    ### END SOLUTION

# %% check="22.3" points=3
check("22.3", low_rank)

# %% [markdown] task="22.3"
# <details><summary>Hint 1</summary>
#
# aᵀ U[r] is one number for each pair, and so is V[r]ᵀ b. What is aᵀ (U[r] V[r]ᵀ) b?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `a @ U.T` and `b @ V.T` are both (B, R). Multiply them, then let W mix the R products.
#
# </details>

# %% [markdown] task="22.4"
# ## 22.4 Find the bug: where are the words?
# *3 points · 15 minutes · medium*
#
# This function scales picture and words to length one, puts them side by side, and answers with a linear layer. The shape is right. Two invariants are broken: **change the words, and answers must move; change one pair, and only its answer may move.** Run it and see.

# %%
def fuse_broken(a, b, weight):
    """a (B, D), b (B, D), weight (K, 2 D), picture first -> logits (B, K)"""
    a = F.normalize(a, dim=-1)
    b = F.normalize(a, dim=-1)
    both = torch.cat((a, b), 0).reshape(len(a), -1)
    return both @ weight.T


torch.manual_seed(0)
a, b, weight = torch.randn(4, 3), torch.randn(4, 3), torch.randn(2, 6)
moved = fuse_broken(a, torch.randn(4, 3), weight) - fuse_broken(a, b, weight)
print("new words: answers that move:", int((moved.abs().sum(1) > 1e-6).sum()), "of 4")
changed = a.clone()
changed[0] += 1
moved = fuse_broken(changed, b, weight) - fuse_broken(a, b, weight)
print("a new picture in pair 0: answers that move:", (moved.abs().sum(1) > 1e-6).nonzero()[:, 0].tolist())

# %% [markdown] task="22.4"
# Write the function as it should be. There are two mistakes. (Both were made in public code: the first in a model for emotions, the second in the questions of people who used a VQA model.)

# %% answer="22.4"
def fuse(a, b, weight):
    ### BEGIN SOLUTION
    sides = [side / side.norm(dim=1, keepdim=True) for side in (a, b)]
    return F.linear(torch.hstack(sides), weight)
    ### END SOLUTION

# %% check="22.4" points=3
check("22.4", fuse)

# %% [markdown] task="22.4"
# <details><summary>Hint 1</summary>
#
# Read each line and ask which names on its right side should be there.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.cat(..., 0)` puts the rows of b below those of a. The reshape then joins two *pictures* in a row.
#
# </details>

# %% [markdown] task="22.5"
# ## 22.5 Find the bug: weights that never learn
# *3 points · 20 minutes · medium*
#
# A popular library of fusions once kept its low-rank factors where the optimizer did not see them. The model ran, the loss fell a little, and the factors stayed at their random start. Here is one training step with the same symptom, from another cause.

# %%
def step_broken(a, b, labels, U, V, W, rate):
    """One step of gradient descent for the logits of exercise 22.3: the new U, V, W"""
    factors = [torch.tensor(U.tolist()), torch.tensor(V.tolist())]
    W = W.clone().requires_grad_()
    logits = ((a @ factors[0].T) * (b @ factors[1].T)) @ W.T
    F.cross_entropy(logits, labels).backward()
    return factors[0], factors[1], (W - rate * W.grad).detach()


U, V, W = torch.randn(3, 4), torch.randn(3, 5), torch.randn(2, 3)
new = step_broken(torch.randn(8, 4), torch.randn(8, 5), torch.randint(2, (8,)), U, V, W, 0.1)
print("moved:", {name: bool((x != y).any()) for name, x, y in zip("UVW", new, (U, V, W))})

# %% [markdown] task="22.5"
# Write the step so that all three learn.
#
# - `a` (B, D), `b` (B, E), `labels` (B,) whole numbers; `U` (R, D), `V` (R, E), `W` (K, R); `rate`, the learning rate.
# - Return the new `U`, `V`, `W`: each minus rate times the gradient of the mean cross-entropy.

# %% answer="22.5"
def step(a, b, labels, U, V, W, rate):
    ### BEGIN SOLUTION
    learned = [value.clone().requires_grad_() for value in (U, V, W)]
    logits = torch.einsum("bd,rd,be,re,kr->bk", a, learned[0], b, learned[1], learned[2])
    moves = torch.autograd.grad(F.cross_entropy(logits, labels), learned)
    return [(value - rate * move).detach() for value, move in zip(learned, moves)]
    ### END SOLUTION

# %% check="22.5" points=3
check("22.5", step)

# %% [markdown] task="22.5"
# <details><summary>Hint 1</summary>
#
# Which of the three tensors ask for a gradient?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `x.detach().clone().requires_grad_()` makes a tensor that collects its gradient in `.grad`. Do it for all three before the logits are computed.
#
# </details>

# %% [markdown] task="22.6"
# ## 22.6 Open challenge: XOR from noise
# *4 points · 25 minutes · hard*
#
# Somewhere in 8 noisy features of each modality hides a sign, + or −. The label is 1 if the two signs are equal. You do not know the directions, and have 80 pairs.
#
# - `a`, `b` (80, 8), `labels` (80,) of 0 and 1; `new_a`, `new_b` (M, 8).
# - Return your guesses (M,), whole numbers (int64).

# %% [markdown] task="22.6"
# Score: the share of 2,000 new pairs that is right, in the mean of ten draws, each with new directions. Chance is 50%. **Target: 92%.** A linear layer on both side by side stays at chance: that is the proof of the lesson. `score(learn)` measures yours.

# %% tags=["nbval-ignore-output"]
def examples(count, u, v):
    """Noisy features of two modalities, and whether their hidden signs are equal."""
    left, right = (torch.randint(2, (count,)) * 2.0 - 1 for _ in range(2))
    return (left[:, None] * u + 0.5 * torch.randn(count, 8),
            right[:, None] * v + 0.5 * torch.randn(count, 8), (left == right).long())


def score(learn):
    u, v = (F.normalize(torch.randn(8), dim=0) for _ in range(2))
    (a, b, labels), (new_a, new_b, truth) = examples(80, u, v), examples(2000, u, v)
    return (learn(a, b, labels, new_a, new_b) == truth).float().mean()


def linear(a, b, labels, new_a, new_b):
    rule = torch.linalg.lstsq(torch.cat([a, b], 1), labels * 2.0 - 1).solution
    return (torch.cat([new_a, new_b], 1) @ rule > 0).long()


print(f"a linear layer on both: {score(linear):.0%}")

# %% answer="22.6"
def learn(a, b, labels, new_a, new_b):
    ### BEGIN SOLUTION
    moments = torch.einsum("b,bd,be->de", labels * 2.0 - 1, a, b)
    left, _, right = torch.linalg.svd(moments)
    return ((new_a @ left[:, 0]) * (new_b @ right[0]) > 0).long()
    ### END SOLUTION

# %% check="22.6" points=4 tags=["nbval-ignore-output"]
check("22.6", learn)

# %% [markdown] task="22.6"
# <details><summary>Hint 1</summary>
#
# If the signs are equal, products of a's and b's features are positive or negative on average, by the hidden directions. No single one of the 64 products will do: a weighted sum of them. How do you find the weights?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Average label sign times a bᵀ over the pairs: a matrix (8, 8). Use it as M in aᵀ M b, or keep only the one direction for each modality that it stretches most (`torch.linalg.svd`).
#
# </details>
