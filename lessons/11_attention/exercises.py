# ---
# title: Attention
# minutes: 90
# prerequisites: [11]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time, so it cannot be guessed.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 11.

# %%
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import world
from mmcourse.checks import check

# %% [markdown] task="11.1"
# ## 11.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers and one True or False.

# %% [markdown] task="11.1"
# | key | what it is |
# |---|---|
# | `equal` | a query meets three keys with equal scores: the weight of the first |
# | `masked` | the same, but the third key is hidden by a mask: the weight of the first |
# | `spread` | the standard deviation of the dot product of two random vectors of width 64 (mean 0, variance 1), before any scaling |
# | `ratio` | self-attention over 20 words has how many times as many scores as over 10 words? |
# | `reordered` | keys and values are shuffled together; does a query's output change? `True` or `False` |
# | `cold` | one key fits best, and the query is multiplied by a million: the largest weight |

# %% answer="11.1"
def predictions():
    ### BEGIN SOLUTION
    return {"equal": 1 / 3, "masked": 1 / 2, "spread": 8, "ratio": 4, "reordered": False, "cold": 1}
    ### END SOLUTION

# %% check="11.1" points=2
check("11.1", predictions)

# %% [markdown] task="11.1"
# <details><summary>Hint 1</summary>
#
# Weights of one query always sum to one, whatever is hidden.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The variance of a sum of independent numbers is the sum of their variances. A table of scores has one row for each query and one column for each key.
#
# </details>

# %% [markdown] task="11.2"
# ## 11.2 Attention
# *3 points · 15 minutes · medium*
#
# Write scaled dot-product attention. Do not call `F.scaled_dot_product_attention`; the check does.
#
# - `query` (B, T, d), `key` (B, S, d), `value` (B, S, e); `mask` is None or boolean (B, T, S), True = may look.
# - Return the output (B, T, e) **and** the weights (B, T, S).

# %% [markdown] task="11.2"
# - A hidden key gets weight exactly 0, even when scores are huge. A query that may look nowhere gets zeros, not NaN.
#
# Example: `query = [[1, 0]]`, keys `[[1, 0], [0, 1]]`, values `[[10], [20]]`: scores 0.71 and 0, weights 0.67 and 0.33, output 13.3.

# %% answer="11.2"
def my_attention(query, key, value, mask=None):
    ### BEGIN SOLUTION
    fit = torch.einsum("btd,bsd->bts", query, key) / key.shape[-1] ** 0.5
    if mask is not None:
        fit = torch.where(mask, fit, -1e38)
    share = fit.softmax(-1)
    if mask is not None:
        share = share * mask
    return share @ value, share
    ### END SOLUTION

# %% check="11.2" points=3
check("11.2", my_attention)

# %% [markdown] task="11.2"
# <details><summary>Hint 1</summary>
#
# Three steps: scores of every query with every key, a softmax along the keys, the weighted sum of the values. The mask belongs between the first and the second.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.where(mask, scores, low)` puts a low number where the mask is False. If `low` is minus infinity, a row without any True becomes NaN. If it is finite, the row becomes something else: what do you have to multiply with?
#
# </details>

# %% [markdown] task="11.3"
# ## 11.3 A mask for a batch
# *2 points · 10 minutes · medium*
#
# Sentences of different lengths stand in one batch, filled up to the longest. Build their mask. Hide keys only.
#
# - `lengths` (B,) whole numbers; T is the largest of them. `causal` is True or False.
# - Return a boolean tensor (B, 1, T, T), True = may look: query t of sentence b may look at key s if s is a word (not padding) and, when causal, not later than t.

# %% [markdown] task="11.3"
# Example, lengths `[2, 3]`, causal: sentence 0 gives `[[1, 0, 0], [1, 1, 0], [1, 1, 0]]`. (The last row belongs to padding. It is kept like the others.)

# %% answer="11.3"
def batch_mask(lengths, causal):
    ### BEGIN SOLUTION
    spot = torch.arange(int(lengths.max()))
    real = (spot < lengths[:, None])[:, None, None]
    past = spot <= spot[:, None]
    return (real & past) if causal else real.expand(-1, -1, len(spot), -1)
    ### END SOLUTION

# %% check="11.3" points=2
check("11.3", batch_mask)

# %% [markdown] task="11.3"
# <details><summary>Hint 1</summary>
#
# Compare positions with lengths: `torch.arange(T) < lengths[:, None]` has the shape (B, T). Which axes are missing before T?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Two conditions that must both hold are joined with `&`; shapes (B, 1, 1, T) and (T, T) broadcast to (B, 1, T, T).
#
# </details>

# %% [markdown] task="11.4"
# ## 11.4 Several heads
# *4 points · 20 minutes · medium*
#
# Write multi-head self-attention as a function of its weight matrices.
#
# - `x` (B, T, D); the four matrices are (D, D) and are used as `x @ w_query`; there are no biases.
# - Head 0 takes the first D / num_heads columns of each projection, head 1 the next, and so on. `mask` is None or boolean (T, T), True = may look.
# - Return (B, T, D). You may use `F.scaled_dot_product_attention` for the middle.

# %% answer="11.4"
def multi_head(x, w_query, w_key, w_value, w_output, num_heads, mask=None):
    ### BEGIN SOLUTION
    parts = [torch.stack((x @ w).chunk(num_heads, dim=-1), dim=1) for w in (w_query, w_key, w_value)]
    mixed = F.scaled_dot_product_attention(*parts, attn_mask=mask)
    return torch.cat(mixed.unbind(1), dim=-1) @ w_output
    ### END SOLUTION

# %% check="11.4" points=4
check("11.4", multi_head)

# %% [markdown] task="11.4"
# <details><summary>Hint 1</summary>
#
# (B, T, D) is viewed as (B, T, H, D/H); then T and H change places. At the end the same two steps backwards.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# If the shape is right and the numbers are wrong, try it with T = 1, then with num_heads = 1, and compare with `nn.MultiheadAttention`: the case that fails says which axis is mixed up.
#
# </details>

# %% [markdown] task="11.5"
# ## 11.5 Find the bug
# *3 points · 15 minutes · medium*
#
# The function below makes one vector of each sentence: attention over its words, then their mean. It runs, and nothing looks wrong. But an **invariant** is broken: more padding behind a sentence must not change its vector. Run it and see.

# %%
def sentence_vectors_broken(layer, embeddings, lengths):
    """embeddings (B, T, D), lengths (B,), layer an nn.MultiheadAttention(batch_first=True) -> (B, D)"""
    is_word = torch.arange(embeddings.shape[1]) < lengths[:, None]      # (B, T)
    mixed, _ = layer(embeddings, embeddings, embeddings, key_padding_mask=is_word)
    return mixed.mean(1)


torch.manual_seed(0)
layer = nn.MultiheadAttention(8, 2, batch_first=True)
words, lengths = torch.randn(3, 5, 8), torch.tensor([3, 2, 4])
longer = torch.cat([words, torch.randn(3, 2, 8)], dim=1)                # two more padding vectors each
before, after = (sentence_vectors_broken(layer, w, lengths) for w in (words, longer))
print("padding changes nothing:", torch.allclose(before, after, atol=1e-5))

# %% [markdown] task="11.5"
# Write the function as it should be. There are two mistakes, and the first one hides the second.

# %% answer="11.5"
def sentence_vectors(layer, embeddings, lengths):
    ### BEGIN SOLUTION
    filler = torch.arange(embeddings.shape[1]) >= lengths[:, None]
    seen = layer(embeddings, embeddings, embeddings, key_padding_mask=filler)[0]
    return seen.masked_fill(filler[..., None], 0).sum(1) / lengths[:, None]
    ### END SOLUTION

# %% check="11.5" points=3
check("11.5", sentence_vectors)

# %% [markdown] task="11.5"
# <details><summary>Hint 1</summary>
#
# What does True mean in `nn.MultiheadAttention`'s `key_padding_mask`? Its documentation says so in one line, and lesson 11 in one section.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The attention gives a row for every position, padding too. Which rows should the mean count, and by what should it divide?
#
# </details>

# %% [markdown] task="11.6"
# ## 11.6 Open challenge: attention without training
# *4 points · 20 minutes · hard*
#
# Build by hand what the lesson trained. A picture is cut into 16 × 16 cells, each given by its mean color. Somebody asks for a color. Put your weight on the cells where that color is.
#
# - `cells` (256, 3) and `color` (3,), red, green and blue from 0 to 1. Return weights (256,), none negative, with sum one.

# %% [markdown] task="11.6"
# - Score: the share of the weight that lies on things of the asked color, over 200 scenes you have not seen. **Target: 90%.**
#
# The plain dot product fails, and it is worth seeing why: run it once.

# %% answer="11.6"
def look_for(cells, color):
    ### BEGIN SOLUTION
    miss = ((cells - color) ** 2).sum(-1)
    return (-100 * miss).softmax(0)
    ### END SOLUTION

# %% check="11.6" points=4 tags=["nbval-ignore-output"]
check("11.6", look_for)

# %% [markdown] task="11.6"
# <details><summary>Hint 1</summary>
#
# The dot product of two colors is large when both are bright. Which cells are the brightest?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A squared distance is a dot product in disguise: |k − q|² = |k|² − 2 k·q + |q|². Its negative is a score that is highest where the colors agree. And 256 cells with a little weight each are a lot of weight: how sharp must the softmax be?
#
# </details>
