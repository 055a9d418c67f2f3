# ---
# title: Captioning
# minutes: 100
# prerequisites: [32]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 32.

# %%
from collections import Counter

import torch
import torch.nn.functional as F

from mmcourse import metrics, world
from mmcourse.checks import check
from mmcourse.models.transformer import Decoder

# %% [markdown] task="32.1"
# ## 32.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the seven entries of the table: numbers (to two decimals or better), and one True or False.

# %% [markdown] task="32.1"
# | key | what it is |
# |---|---|
# | `losses` | a caption of 7 words between START and END: how many words does the loss count? |
# | `clipped` | clipped precision of words: "a a a circle", reference "a red circle" |
# | `brevity` | BLEU's brevity penalty: caption of 4 words, reference of 8 |
# | `all_right` | each word is right with chance 0.98: chance that all 20 are |
# | `longer` | log-probabilities −1.2 (3 words) and −1.8 (6); length penalty 1: does the longer win? |
# | `one_picture` | CIDEr-D of a perfect caption, one picture in the test set |
# | `swapped` | precision of single words: "a blue circle and a red square", reference "a red circle and a blue square" |

# %% answer="32.1"
def predictions():
    ### BEGIN SOLUTION
    return {"losses": 8, "clipped": 0.5, "brevity": 0.368, "all_right": 0.98 ** 20, "longer": True,
            "one_picture": 0, "swapped": 1}
    ### END SOLUTION

# %% check="32.1" points=2
check("32.1", predictions)

# %% [markdown] task="32.1"
# <details><summary>Hint 1</summary>
#
# START is read and never written. END is written. The brevity penalty is $e^{1 - r/c}$ for a reference of $r$ words and a shorter caption of $c$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# CIDEr weighs an n-gram by the logarithm of (all pictures / pictures whose references have it). With one picture that is log 1.
#
# </details>

# %% [markdown] task="32.2"
# ## 32.2 Clipped precision
# *3 points · 15 minutes · medium*
#
# Write the heart of BLEU (Papineni and others 2002).
#
# - `caption` is a string, `references` a list of strings; words are split at spaces. `n` is the length of an n-gram in words.
# - Return two whole numbers, `(matches, total)`: `total` is how many n-grams the caption has, repeated ones included; of these, an n-gram counts as a match at most as often as it stands in **the one reference where it is most frequent**.
# - A caption of fewer than n words has no n-grams: `(0, 0)`.

# %% [markdown] task="32.2"
# Example: "a star a star a" against ["a star", "a circle and a star"]. For n = 1: *a* twice (the second reference has two), *star* once: `(3, 5)`. For n = 2: *a star* once, *star a* never: `(1, 4)`.

# %% answer="32.2"
def clipped_precision(caption, references, n):
    ### BEGIN SOLUTION
    def grams(sentence):
        words = sentence.split()
        return Counter(zip(*(words[i:] for i in range(n))))

    allowed = Counter()
    for reference in references:
        allowed |= grams(reference)                         # the union takes the larger count
    mine = grams(caption)
    return (mine & allowed).total(), mine.total()
    ### END SOLUTION

# %% check="32.2" points=3
check("32.2", clipped_precision)

# %% [markdown] task="32.2"
# <details><summary>Hint 1</summary>
#
# Count the n-grams of the caption with a `Counter`, and those of each reference with another.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# For each different n-gram: the smaller one of its count in the caption and its largest count in any reference. Add these up.
#
# </details>

# %% [markdown] task="32.3"
# ## 32.3 One step of beam search
# *4 points · 20 minutes · hard*
#
# K captions are being written. Choose the K best after one more word.
#
# - `scores` (K,): each beam's sum of log-probabilities; `lengths` (K,): its words so far; `done` (K,) booleans: has it ended? `logits` (K, V): raw scores of the next word; `alpha`, the length penalty.
# - A beam that goes on gives V candidates, each one word longer. A beam that is done gives **one**: itself, with word 0, its score and length unchanged.
# - Rank all candidates by score / length ** alpha.

# %% [markdown] task="32.3"
# Return three tensors `(parents, words, scores)`, each (K,), the first two int64, best first: from which beam a candidate comes, its new word, and its **plain** sum of log-probabilities, without the penalty.
#
# Example: K = 1, score −1 after 1 word, two words with log-probabilities −0.2 and −1.7: parents `[0]`, words `[0]`, scores `[-1.2]`; with `alpha` = 1 its rank was −1.2 / 2.

# %% answer="32.3"
def beam_step(scores, lengths, done, logits, alpha):
    ### BEGIN SOLUTION
    sums = scores[:, None] + logits.log_softmax(-1)
    longer = (lengths + 1)[:, None].expand_as(sums).clone()
    sums[done] = float("-inf")
    sums[done, 0], longer[done, 0] = scores[done], lengths[done]
    place = (sums / longer ** alpha).flatten().topk(len(scores)).indices
    return place // sums.shape[1], place % sums.shape[1], sums.flatten()[place]
    ### END SOLUTION

# %% check="32.3" points=4
check("32.3", beam_step)

# %% [markdown] task="32.3"
# <details><summary>Hint 1</summary>
#
# Make a (K, V) table of all new sums. In the row of a finished beam, everything but word 0 should be impossible: −inf.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Flatten the table of *penalized* sums and take `topk`. The place p in the flat table belongs to beam `p // V` and word `p % V`. Then look up the plain sums at these places.
#
# </details>

# %% [markdown] task="32.4"
# ## 32.4 Find the bug: the best loss you ever saw
# *3 points · 15 minutes · medium*
#
# Captions in a batch have different lengths, so somebody added a padding mask to the decoder. The training loss went down to almost nothing. But when the model wrote alone, it stopped far too early. An invariant is broken: change a **later** word, and what the model thinks at **earlier** places must stay the same. Run it and see.

# %%
def caption_mask_broken(ids):
    """ids (B, T), 0 is PAD -> (B, 1, T, T), True = may look"""
    causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    mask = causal
    mask = (ids != 0)[:, None, None, :].expand(-1, 1, ids.shape[1], -1)         # no looking at padding
    return mask


torch.manual_seed(0)
embed, layer = torch.nn.Embedding(20, 16), Decoder(1, 16, 2).blocks[0]
one = torch.tensor([[1, 5, 6, 7, 2, 0], [1, 8, 2, 0, 0, 0]])
other = one.clone()
other[0, 3] = 9                                                            # only the word at place 3
outs = [layer(embed(ids), caption_mask_broken(ids), torch.zeros(2, 1, 16)) for ids in (one, other)]
changed = (outs[0] - outs[1]).abs().amax(-1)[0] > 1e-6
print("places whose output changes:", changed.nonzero()[:, 0].tolist(), "- should begin with 3")

# %% [markdown] task="32.4"
# Write the mask as it should be: `ids` (B, T), whole numbers, 0 is PAD. Return booleans (B, 1, T, T), True = may look: the word at place t may look at place s if s is not after t **and** there is no PAD at s. (Places that hold PAD themselves follow the same rule; nobody reads what they say.)

# %% answer="32.4"
def caption_mask(ids):
    ### BEGIN SOLUTION
    places = torch.arange(ids.shape[1])
    return (places <= places[:, None]) & ids.ne(0)[:, None, None]
    ### END SOLUTION

# %% check="32.4" points=3
check("32.4", caption_mask)

# %% [markdown] task="32.4"
# <details><summary>Hint 1</summary>
#
# Read the two lines that begin with `mask =` aloud. What is left of `causal`?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# (T, T) and (B, 1, 1, T) broadcast to (B, 1, T, T). Both conditions have to hold: `&`.
#
# </details>

# %% [markdown] task="32.5"
# ## 32.5 Find the bugs: the same caption for every picture
# *4 points · 15 minutes · medium*
#
# A captioner in prefix form reads the picture's tokens, then the words. Each picture has several captions; those of one picture follow one another. After training, pictures of all kinds get the same few captions, and every second word is missing. The loss also counts places that nobody should learn.

# %%
def prefix_batch_broken(seen, ids, table):
    """seen (P, N, D), ids (k * P, T), table (V, D) -> inputs (k * P, N + T - 1, D), targets (k * P, N + T - 1)"""
    captions_each = len(ids) // len(seen)
    pictures = seen.repeat(captions_each, 1, 1)
    inputs = torch.cat([pictures, table[ids[:, :-1]]], 1)
    targets = torch.full(inputs.shape[:2], -100)
    targets[:, seen.shape[1]:-1] = ids[:, 2:]                            # the next word
    return inputs, targets


seen = torch.tensor([10.0, 20.0]).view(2, 1, 1)                         # two pictures of one token
ids = torch.tensor([[1, 5, 6, 2], [1, 5, 2, 0], [1, 7, 8, 2], [1, 7, 2, 0]])   # two captions of each
inputs, targets = prefix_batch_broken(seen, ids, torch.zeros(9, 1))
print("pictures:", inputs[:, 0, 0].tolist(), "and should be [10.0, 10.0, 20.0, 20.0]")
print("targets of the second caption:", targets[1].tolist(), "and should be [-100, 5, 2, -100]")

# %% [markdown] task="32.5"
# Write it as it should be. There are three mistakes.
#
# - `seen` (P, N, D): N tokens of each of P pictures. `ids` (k · P, T): START (1), words, END (2), then PAD (0). `table` (V, D): the vector of each word.
# - `inputs` (k · P, N + T − 1, D): each caption's **own** picture, then its words without the last place.
# - `targets` (k · P, N + T − 1): for each word the word after it; −100, which `F.cross_entropy` leaves out, at the picture's places and wherever PAD would be taught. The model does **not** shift once more inside.

# %% answer="32.5"
def prefix_batch(seen, ids, table):
    ### BEGIN SOLUTION
    own = seen.repeat_interleave(len(ids) // len(seen), dim=0)
    following = ids[:, 1:].masked_fill(ids[:, 1:] == 0, -100)
    return torch.cat([own, F.embedding(ids[:, :-1], table)], 1), F.pad(following, (seen.shape[1], 0), value=-100)
    ### END SOLUTION

# %% check="32.5" points=4
check("32.5", prefix_batch)

# %% [markdown] task="32.5"
# <details><summary>Hint 1</summary>
#
# `repeat` turns A B into A B A B. The captions stand as A A B B.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# At the place of START the model should write the first word. Which index of `ids` is that, and where do the words begin in `inputs`? Then ask what stands in `targets` where a caption has ended.
#
# </details>

# %% [markdown] task="32.6"
# ## 32.6 Open challenge: a metric that loves the truth
# *4 points · 25 minutes · hard*
#
# A metric sees no picture. It gets a caption and five true captions of the same picture, the **first** of which names every thing. Write one that scores a true caption higher than a false one.
#
# - `caption` is a string, `references` five strings. Return one number; higher is better.
# - It is measured on 500 new scenes. Each gives a pair: a true caption in other words than the references, and a false one that differs from the truth in one thing.

# %% [markdown] task="32.6"
# Score: the share of pairs in which the true caption wins, ties counting half. Chance is 50%. **Target: 75%.** More than 90% is possible. Below you see what BLEU-4 reaches: *less* than chance.
#
# You may use `world.parse`, which turns a sentence into nested tuples, and everything else in `world`, as SPICE uses a parser of English.

# %% tags=["nbval-ignore-output"]
pairs = metrics.judged_pairs(300)
true, false, references = pairs[3]
print("references:", *references, sep="\n    ")
print("true: ", true)
print("false:", false)


def bleu(caption, references):
    return metrics.bleu([caption], [references])


print(f"BLEU-4 prefers the true caption in {metrics.share_right(bleu, pairs):.0%} of {len(pairs)} pairs")
print("what a parser sees:", world.parse("two small red circles and a star"))

# %% answer="32.6"
def metric(caption, references):
    ### BEGIN SOLUTION
    def things(program):
        """The sets of words that a program names, each as often as its number says."""
        if program[0] == "number":
            return things(program[2]) * program[1]
        rest = [found for part in program if isinstance(part, tuple) for found in things(part)]
        return rest + [frozenset(program[1])] if program[0] == "filter" else rest

    told = things(world.parse(references[0].split(".")[0]))             # every thing, once
    score, program = 0.0, world.parse(caption)
    for words in set(things(program)):
        score += (any(words <= thing for thing in told) - 1) / 10
    for part in (program[1:] if program[0] == "every" else [program]):
        if part[0] == "number":
            words = set(part[2][1]) if part[2][0] == "filter" else set()
            score -= sum(words <= thing for thing in told) != part[1]
    return score
    ### END SOLUTION

# %% check="32.6" points=4 tags=["nbval-ignore-output"]
check("32.6", metric)

# %% [markdown] task="32.6"
# <details><summary>Hint 1</summary>
#
# In a parsed sentence, `("filter", ("small", "red", "circle"), ...)` is a thing with these words. Collect the sets of words that the caption names and those that the references name.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A caption's set is supported if it is a *part* of a set of the references: {red, circle} of {small, red, circle}. The share of supported sets is above 80% already. Then mind numbers: `("number", 2, ("filter", ...))` is true only if the first reference names exactly two such things.
#
# </details>
