# ---
# title: Contrastive alignment
# minutes: 95
# prerequisites: [21]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 21.

# %%
import math

import torch
import torch.nn.functional as F

from mmcourse import world, zoo
from mmcourse.checks import check
from mmcourse.models.vit import KINDS

# %% [markdown] task="21.1"
# ## 21.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers (within 1%) and one True or False.

# %% [markdown] task="21.1"
# | key | what it is |
# |---|---|
# | `blind` | the InfoNCE loss of a model that knows nothing, B = 256 |
# | `alone` | the lowest InfoNCE with cosines as scores (scale 1), B = 2 |
# | `twins` | B = 8: four sentences, each written for two of the pictures; the lowest loss |
# | `scale` | the scale, if the learned parameter is 3.0 |
# | `pairs` | how many yes-or-no questions does SigLIP ask with B = 32? |
# | `bag` | can a bag-of-words text encoder tell *a red circle and a blue square* from *a blue circle and a red square*? |

# %% answer="21.1"
def predictions():
    ### BEGIN SOLUTION
    return {"blind": 8 * math.log(2), "alone": math.log1p(math.exp(-2)), "twins": math.log(2), "scale": math.exp(3),
            "pairs": 32 ** 2, "bag": False}
    ### END SOLUTION

# %% check="21.1" points=2
check("21.1", predictions)

# %% [markdown] task="21.1"
# <details><summary>Hint 1</summary>
#
# The best cosines are 1 for the own sentence and −1 for the other. Write the softmax of these two.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With twins, each row has two sentences that are equally good. The best guess gives each one half.
#
# </details>

# %% [markdown] task="21.2"
# ## 21.2 The floor of a batch
# *3 points · 15 minutes · medium*
#
# The world knows which sentence is true of which picture. Suppose that a model knows this and nothing more: each true pair gets the same score, each false one minus infinity. What does InfoNCE cost it?
#
# - `fits` (B, B), boolean: pictures in rows, sentences in columns. The diagonal is True: each picture's own sentence.
# - Return one number (a tensor without axes): the mean over rows of the loss along the row, the mean over columns of the loss down the column, and of these two the mean.

# %% [markdown] task="21.2"
# Example: two pictures, and sentence 0 is true of both: `[[True, False], [True, True]]`. Row 0 costs 0, row 1 costs ln 2; column 0 costs ln 2, column 1 costs 0. The answer is ln 2 / 2 = 0.3466. (Equal scores are simple, not always the best: the lesson's floor with `told` may be a little lower.)

# %% answer="21.2"
def lowest_loss(fits):
    ### BEGIN SOLUTION
    counts = torch.cat([fits.sum(0), fits.sum(1)])
    return counts.float().log().mean()
    ### END SOLUTION

# %% check="21.2" points=3
check("21.2", lowest_loss)

# %% [markdown] task="21.2"
# <details><summary>Hint 1</summary>
#
# If n sentences fit a picture, the best guess gives each 1/n. What is the cross-entropy of that?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Take the logarithm of each count first, then the mean. The other order gives a larger number.
#
# </details>

# %% [markdown] task="21.3"
# ## 21.3 A prompt ensemble
# *3 points · 15 minutes · medium*
#
# Each class has several prompts. The class gets one vector: the mean of its prompts' **unit** vectors, brought to length 1 again. A picture belongs to the class with the largest cosine.
#
# - `pictures` (N, D) and `prompts` (K, P, D): vectors of any length, as the encoders give them before they are normalized; K classes with P prompts each.
# - Return the class of each picture: (N,) whole numbers from 0 to K − 1.

# %% answer="21.3"
def ensemble(pictures, prompts):
    ### BEGIN SOLUTION
    classes = F.normalize(F.normalize(prompts, dim=-1).mean(1), dim=-1)
    return (pictures @ classes.T).argmax(1)
    ### END SOLUTION

# %% check="21.3" points=3
check("21.3", ensemble)

# %% [markdown] task="21.3"
# <details><summary>Hint 1</summary>
#
# A long prompt vector would have a larger say in the mean than a short one. Which step prevents this?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The mean of unit vectors is shorter than 1, and shortest for classes whose prompts disagree. Compare classes only after their length is 1 again.
#
# </details>

# %% [markdown] task="21.4"
# ## 21.4 Recall at k
# *3 points · 15 minutes · medium*
#
# Retrieval is judged by **recall at k**: for which share of the queries is a right answer among the k best? Here several answers may be right for one query.
#
# - `scores` (N, M): N queries in rows, M answers in columns. `right` (N, M), boolean: at least one True in each row. `k`: a whole number from 1 to M.
# - Return a Python number from 0 to 1: the share of rows with **at least one** right answer among the k largest scores.

# %% [markdown] task="21.4"
# Example: scores `[[0.9, 0.5, 0.1], [0.2, 0.8, 0.7]]`, right `[[True, True, False], [True, False, True]]`. Recall at 1 is 0.5: row 0 has a right answer on top, row 1 has not. Recall at 2 is 1.0.

# %% answer="21.4"
def recall_at(scores, right, k):
    ### BEGIN SOLUTION
    best = scores.topk(k, dim=1).indices
    return right.gather(1, best).any(1).double().mean().item()
    ### END SOLUTION

# %% check="21.4" points=3
check("21.4", recall_at)

# %% [markdown] task="21.4"
# <details><summary>Hint 1</summary>
#
# `scores.topk(k, dim=1).indices` names the k best answers of each row. `right.gather(1, ...)` looks them up.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A row counts once, however many of its right answers are among the k.
#
# </details>

# %% [markdown] task="21.5"
# ## 21.5 Find the bug
# *4 points · 15 minutes · medium*
#
# This loss runs, falls, and was shipped. Two invariants are broken. At the start, a picture scored against its own vector should give 14.3. And the loss should be the same when pictures and sentences change places. Run it and see.

# %%
def clip_loss_broken(pictures, texts, log_scale):
    """pictures, texts (B, D): vectors of pictures and of their sentences; log_scale: a tensor without axes"""
    pictures, texts = F.normalize(pictures, dim=-1), F.normalize(texts, dim=-1)
    scores = log_scale * pictures @ texts.T
    return F.cross_entropy(scores, torch.arange(len(scores)))


torch.manual_seed(0)
pictures, texts, log_scale = torch.randn(6, 4), torch.randn(6, 4), torch.tensor(math.log(1 / 0.07))
print("a picture with itself:", round((log_scale * F.normalize(pictures[0], dim=0).square().sum()).item(), 2))
print("one way:", round(clip_loss_broken(pictures, texts, log_scale).item(), 3),
      " the other:", round(clip_loss_broken(texts, pictures, log_scale).item(), 3))

# %% [markdown] task="21.5"
# Write the function as it should be. Same arguments; return the loss, a tensor without axes, through which gradients reach all three.

# %% answer="21.5"
def clip_loss(pictures, texts, log_scale):
    ### BEGIN SOLUTION
    cosines = F.normalize(pictures, dim=1) @ F.normalize(texts, dim=1).T
    scores = cosines * torch.exp(log_scale)
    rows, columns = scores.log_softmax(1).diagonal(), scores.log_softmax(0).diagonal()
    return -torch.cat([rows, columns]).mean()
    ### END SOLUTION

# %% check="21.5" points=4
check("21.5", clip_loss)

# %% [markdown] task="21.5"
# <details><summary>Hint 1</summary>
#
# The parameter is the logarithm of the scale. What makes a scale of it?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The rows ask: which sentence belongs to this picture? Who asks the other question?
#
# </details>

# %% [markdown] task="21.6"
# ## 21.6 Open challenge: name all things
# *4 points · 25 minutes · medium*
#
# Pictures of the standard world show one to five things. Say which of the 24 kinds are there, with the shipped CLIP, without training it.
#
# - `looks` (N, 128): the unit vectors of the pictures, `zoo.load("clip").look_at(images)`.
# - Return (N, 24), boolean: is this kind there? In the order of `KINDS`.

# %% [markdown] task="21.6"
# - Score: the share of 300 new pictures of which **all 24** answers are right. **Target: 95%.**
#
# Below are pictures to try it on, and the first idea: the two best of 24 prompts. But nobody says how many kinds there are.

# %% tags=["nbval-ignore-output"]
def examples(seeds):
    """Unit vectors of pictures (N, 128), and which kinds are there (N, 24)."""
    scenes = [world.sample(seed) for seed in seeds]
    there = [[kind in {(thing.color, thing.shape) for thing in scene} for kind in KINDS] for scene in scenes]
    return zoo.load("clip").look_at([scene.image() for scene in scenes]).cpu(), torch.tensor(there)


looks, truth = examples(range(2**31 + 7000, 2**31 + 7120))
prompts = zoo.load("clip").read_all([f"a {color} {shape}" for color, shape in KINDS]).cpu()
said = torch.zeros_like(truth).scatter(1, (looks @ prompts.T).topk(2).indices, True)


def score(said):
    return (said == truth).all(-1).float().mean()


print(f"the two best prompts: {score(said):.0%}")

# %% answer="21.6"
def name_all(looks):
    ### BEGIN SOLUTION
    texts = [f"a {color} {shape}" for color, shape in KINDS]
    return looks @ zoo.load("clip").read_all(texts).cpu().T > 0.28
    ### END SOLUTION

# %% check="21.6" points=4 tags=["nbval-ignore-output"]
check("21.6", name_all)

# %% [markdown] task="21.6"
# <details><summary>Hint 1</summary>
#
# Draw a histogram of the cosines of kinds that are there, and of those that are not. Where would you cut?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Choose the cut on examples, by trying some: `for cut in (0.1, 0.15, ...)`. Zero is far too low: a red square is a little like *a red circle*, too.
#
# </details>
