# ---
# title: A language model
# minutes: 100
# prerequisites: [13]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time, so it cannot be guessed.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 13.

# %%
import math

import torch
import torch.nn.functional as F

from mmcourse.checks import check

# %% [markdown] task="13.1"
# ## 13.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers and one True or False.

# %% [markdown] task="13.1"
# | key | what it is |
# |---|---|
# | `blind` | the perplexity of a model that gives each of 50 tokens the same chance |
# | `loss` | a text of 6 tokens has probability 1/64: the loss in nats a token |
# | `ratio` | two tokens have logits 2 and 0: how many times as likely is the first at temperature 0.5? |
# | `nucleus` | chances 0.5, 0.3, 0.15, 0.05: how many tokens does top-p 0.9 keep? |
# | `cache` | 4 blocks, 6 query heads, 2 key and value heads of width 32: numbers kept for each token |
# | `below` | may the mean loss of an honest model on endless fresh text lie below the entropy? `True` or `False` |

# %% answer="13.1"
def predictions():
    ### BEGIN SOLUTION
    return {"blind": 50, "loss": math.log(2), "ratio": math.exp(4), "nucleus": 3, "cache": 512, "below": False}
    ### END SOLUTION

# %% check="13.1" points=2
check("13.1", predictions)

# %% [markdown] task="13.1"
# <details><summary>Hint 1</summary>
#
# Perplexity is e to the loss; the loss is the mean of −ln P over the tokens. Logits are divided by the temperature before the softmax.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# In the cache lie keys **and** values, of every block, for the shared heads only.
#
# </details>

# %% [markdown] task="13.2"
# ## 13.2 Learn merges
# *3 points · 20 minutes · medium*
#
# Write the training of BPE on words with counts.
#
# - `words` is a dict, word → how often it occurs; every word starts as its letters. `number` is how many merges to learn.
# - Each merge joins the pair of neighbors that stands side by side most often, counted over all occurrences of all words (a, a stands twice in a a a). Join from left to right: a a a becomes aa a. The check has no ties.

# %% [markdown] task="13.2"
# - Return the merges in order, as a list of pairs `[left, right]`. Pairs never reach over the end of a word. If no pair is left, return fewer.
#
# Example: `{"low": 5, "lot": 2, "no": 6}` with 2 merges gives `[["l", "o"], ["n", "o"]]`: l, o stands there 7 times; then n, o 6 times and lo, w 5 times.

# %% answer="13.2"
def learn_merges(words, number):
    ### BEGIN SOLUTION
    split, learned = {word: tuple(word) for word in words}, []
    for _ in range(number):
        tally = {}
        for word, parts in split.items():
            for k in range(len(parts) - 1):
                tally[parts[k:k + 2]] = tally.get(parts[k:k + 2], 0) + words[word]
        if not tally:
            return learned
        top = max(tally, key=tally.get)
        learned.append(list(top))
        for word, parts in split.items():
            new = []
            for part in parts:
                if new and (new[-1], part) == top:
                    new[-1] += part
                else:
                    new.append(part)
            split[word] = tuple(new)
    return learned
    ### END SOLUTION

# %% check="13.2" points=3
check("13.2", learn_merges)

# %% [markdown] task="13.2"
# <details><summary>Hint 1</summary>
#
# Keep a dict: word → its list of pieces. In each round count pairs (each as often as its word occurs), take the largest, and rewrite all lists.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Joining a, a in a a a gives aa a: after a join, go on *behind* the joined piece.
#
# </details>

# %% [markdown] task="13.3"
# ## 13.3 The nucleus
# *3 points · 15 minutes · medium*
#
# Write temperature and top-p.
#
# - `logits` (B, V), `p` and `temperature` are positive numbers, p at most 1.
# - Divide the logits by the temperature; then keep, in each row, the **fewest** likeliest tokens whose chances sum to at least p.
# - Return the chances (B, V): zero for the others, each row sums to one, every token in its old place.

# %% [markdown] task="13.3"
# Example: chances 0.5, 0.3, 0.15, 0.05 with p = 0.6 keep two tokens, because 0.5 is not yet enough: 0.625, 0.375, 0, 0.

# %% answer="13.3"
def nucleus(logits, p, temperature):
    ### BEGIN SOLUTION
    share = (logits / temperature).softmax(-1)
    likeliest, order = share.sort(-1, descending=True)
    before = likeliest.cumsum(-1) - likeliest                    # what the likelier ones have together
    kept = share * (before < p).gather(-1, order.argsort(-1))    # back in the old places
    return kept / kept.sum(-1, keepdim=True)
    ### END SOLUTION

# %% check="13.3" points=3
check("13.3", nucleus)

# %% [markdown] task="13.3"
# <details><summary>Hint 1</summary>
#
# Sort the chances, largest first, and look at the running sum. A token stays if the sum **before** it is still below p.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `values, order = chances.sort(descending=True)`; `torch.zeros_like(chances).scatter(-1, order, kept)` puts things back in place. Then divide each row by its sum.
#
# </details>

# %% [markdown] task="13.4"
# ## 13.4 Find the bugs: a perfect model is punished
# *3 points · 15 minutes · medium*
#
# A colleague's loss runs, and it even falls during training. But the model writes nonsense. The **invariant**: logits that are sure of the true next token must give a loss of zero. Run it and see.

# %%
def loss_broken(logits, tokens, pad):
    """logits (B, T, V): the model has read tokens (B, T); rows end in pad tokens. Mean loss in nats."""
    labels = tokens[:, 1:]                                       # shifted, so that position t has label t + 1
    labels = F.pad(labels, (0, 1), value=pad)
    logits, labels = logits[:, :-1], labels[:, 1:]               # align logits and labels
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


tokens = torch.tensor([[1, 5, 2, 7, 0, 0], [1, 3, 4, 6, 2, 0]])      # 0 is padding
perfect = F.one_hot(tokens.roll(-1, 1), 8).float() * 30                  # sure of the next token
perfect[tokens.roll(-1, 1) == 0] = 0                                     # and knows nothing of padding
print(f"loss of a perfect model: {loss_broken(perfect, tokens, pad=0):.2f}")

# %% [markdown] task="13.4"
# Write the function as it should be: the mean over all positions whose **next** token is a real one (not padding). There are two mistakes.

# %% answer="13.4"
def text_loss(logits, tokens, pad):
    ### BEGIN SOLUTION
    target = tokens[:, 1:, None]
    surprise = -logits.log_softmax(-1)[:, :-1].gather(2, target)
    real = target != pad
    return (surprise * real).sum() / real.sum()
    ### END SOLUTION

# %% check="13.4" points=3
check("13.4", text_loss)

# %% [markdown] task="13.4"
# <details><summary>Hint 1</summary>
#
# Write down, for one row of four tokens, which label each position ends up with. How often does the function shift?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `F.cross_entropy(..., ignore_index=pad)` leaves positions out, and divides by the number of the others.
#
# </details>

# %% [markdown] task="13.5"
# ## 13.5 Find the bug: fine alone, strange in a batch
# *3 points · 20 minutes · medium*
#
# Prompts of different lengths go into one batch, padded on the left, so that all of them end in the last column, where the first new token is drawn. The function below prepares what a model with a KV cache needs. Alone, each prompt is continued well. In a batch the short ones turn strange.

# %%
def prepare_broken(prompts, pad):
    """Lists of token ids -> tokens (B, T), places (B, T), mask (B, T, T) with True = may look, next_place (B,)."""
    longest = max(map(len, prompts))
    tokens = torch.tensor([[pad] * (longest - len(row)) + row for row in prompts])
    places = torch.arange(longest).expand(len(prompts), -1)
    mask = torch.ones(longest, longest, dtype=torch.bool).tril().expand(len(prompts), -1, -1)
    next_place = torch.full((len(prompts),), longest)
    return tokens, places, mask, next_place


tokens, places, mask, next_place = prepare_broken([[5, 6, 7], [8]], pad=0)
print("token 8 stands at place", places[1, -1].item(), "and sees", mask[1, -1].sum().item(), "tokens")

# %% [markdown] task="13.5"
# **The invariant:** a prompt in a batch is what it is alone: its first token at place 0, and it sees no padding. Write the function as it should be.
#
# - Go by the lengths: a prompt may itself contain the number `pad` (ours begin with 0).
# - `places`: 0 for the padding, then 0, 1, 2, ... for the real tokens. `next_place`: where the first new token will stand.
# - `mask`: a real token sees the real tokens up to itself; a padding token sees itself and nothing else.

# %% answer="13.5"
def prepare(prompts, pad):
    ### BEGIN SOLUTION
    sizes = torch.tensor([len(row) for row in prompts])
    width = int(sizes.max())
    tokens = torch.full((len(prompts), width), pad)
    for line, row in zip(tokens, prompts):
        line[width - len(row):] = torch.tensor(row)
    column = torch.arange(width)
    first = (width - sizes)[:, None]                             # column of each first real token
    real = column >= first
    past = column[:, None] >= column
    mask = torch.where(real[:, :, None], past & real[:, None, :], column[:, None] == column)
    return tokens, (column - first).clamp(min=0), mask, sizes
    ### END SOLUTION

# %% check="13.5" points=3
check("13.5", prepare)

# %% [markdown] task="13.5"
# <details><summary>Hint 1</summary>
#
# Three things must know how much padding stands in front: the places, the mask, and the place of the next token. If all prompts are equally long, the broken function is right.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With `real` (B, T), the columns of real tokens by the prompts' lengths, the places are `real.cumsum(1) - 1`, but not below 0. The mask is "not later than I" and "real", and the diagonal for the padding.
#
# </details>

# %% [markdown] task="13.6"
# ## 13.6 Open challenge: better than greedy
# *4 points · 20 minutes · hard*
#
# Find the likeliest text. Here the chance of a token depends on the one before it alone.
#
# - `first` (V,): log-probability of each first token; `then` (V, V): row i holds those of the token after i; `length`: how many tokens.
# - Return a list of `length` token ids with as high a total log-probability as you can find.

# %% [markdown] task="13.6"
# - Score: over 120 random languages of 12 tokens and texts of 10, how often your text is the very best there is. **Target: 95%.** Greedy finds it in about a quarter of them, a small beam in more.

# %% answer="13.6"
def likeliest(first, then, length):
    ### BEGIN SOLUTION
    ends = [(first[i].item(), [i]) for i in range(len(first))]   # the best text for each last token
    for _ in range(length - 1):
        ends = [max(((score + then[text[-1], j].item(), text + [j]) for score, text in ends), key=lambda one: one[0])
                for j in range(len(first))]
    return max(ends, key=lambda one: one[0])[1]
    ### END SOLUTION

# %% check="13.6" points=4
check("13.6", likeliest)

# %% [markdown] task="13.6"
# <details><summary>Hint 1</summary>
#
# Keep several beginnings with their sums. In each step extend every one by every token, and keep the best. How many must you keep to be nearly sure?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The future depends on the last token alone. Of two beginnings that end in the same token, can the worse one ever win? This is Viterbi's idea (1967), and it makes the search exact.
#
# </details>
