# ---
# title: Visual question answering
# minutes: 105
# prerequisites: [31]
# ---

# %% [markdown]
# Each exercise has an answer cell and a check. Run the check as often as you like: it says that you passed, or gives **one hint** about the first thing that is wrong. It tries fresh random inputs every time.
#
# Write your answer in place of the line `raise NotImplementedError`. Everything you need is in lesson 31.

# %%
import torch
import torch.nn.functional as F

from mmcourse import batches, world, zoo
from mmcourse.checks import check

# %% [markdown] task="31.1"
# ## 31.1 Predict
# *2 points · 10 minutes · easy*
#
# Paper and pencil first. Return a dict with the six entries of the table below: five numbers and one True or False.

# %% [markdown] task="31.1"
# | key | what it is |
# |---|---|
# | `first_loss` | 30 answers, a model that knows nothing: its cross-entropy, two decimals |
# | `blind` | 600 balanced questions about six colors: how many does the best **blind** model get right? |
# | `biased` | four equally common shapes; the favorite is always kept, each other with chance 0.2: share right of a blind model, two decimals |
# | `pairs` | share of complementary pairs that a blind model gets **wholly** right |
# | `soft` | official VQA accuracy of an answer that 2 of 10 people gave |
# | `order` | from a mean of word vectors: can a model tell *is the star above the heart?* from *is the heart above the star?* |

# %% answer="31.1"
def predictions():
    ### BEGIN SOLUTION
    import math
    kept = [1.0, 0.2, 0.2, 0.2]
    return {"first_loss": round(math.log(30), 2), "blind": 600 // 6, "biased": round(max(kept) / sum(kept), 2),
            "pairs": 0.0, "soft": 2 * 0.3, "order": False}
    ### END SOLUTION

# %% check="31.1" points=2
check("31.1", predictions)

# %% [markdown] task="31.1"
# <details><summary>Hint 1</summary>
#
# Knowing nothing means a chance of 1/30 for each answer; cross-entropy is minus its natural logarithm. A blind model gives one answer to one question, whatever the picture.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Of four shapes that are equally common, weigh the favorite by 1 and the other three by 0.2: which share of what is kept is the favorite? For `soft`: leave each of the ten people out once, count the others who agree, a third of a point each.
#
# </details>

# %% [markdown] task="31.2"
# ## 31.2 Soft targets
# *3 points · 15 minutes · medium*
#
# VQA's ten people do not agree. Models are therefore trained on **soft targets**: each answer of the list gets the official score that it would earn.
#
# - `people`: N lists of strings, usually ten each; `answers`: a tuple of K strings.
# - Return (N, K) float32. Score of an answer: leave each person out once; count those of the others who gave this answer; min(count / 3, 1); take the mean over the people left out. What is not in `answers` is ignored. (No punctuation here: compare the strings as they are.)

# %% [markdown] task="31.2"
# Example: three of ten say *red*, seven say *pink*. *pink* gets 1. For *red*: if a *red* is left out (three times), two others agree, 2/3; else three agree, 1. The mean is (3 · 2/3 + 7 · 1) / 10 = 0.9.

# %% answer="31.2"
def soft_targets(people, answers):
    ### BEGIN SOLUTION
    table = torch.zeros(len(people), len(answers))
    for row, said in zip(table, people):
        for column, answer in enumerate(answers):
            agree = said.count(answer)
            inside, outside = min(1, (agree - 1) / 3), min(1, agree / 3)
            row[column] = (agree * inside + (len(said) - agree) * outside) / len(said)
    return table
    ### END SOLUTION

# %% check="31.2" points=3
check("31.2", soft_targets)

# %% [markdown] task="31.2"
# <details><summary>Hint 1</summary>
#
# For one answer and c people who gave it: if one of the c is left out, c − 1 others agree; if somebody else is left out, c.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With ten people the result is 0, 0.3, 0.6, 0.9, 1 for c = 0, 1, 2, 3, 4 and more. Some rows of the check have fewer people, so write the mean itself.
#
# </details>

# %% [markdown] task="31.3"
# ## 31.3 Grad-CAM
# *4 points · 20 minutes · medium*
#
# Which cells of the picture carried the answer? Grad-CAM asks the gradient.
#
# - `tokens` (B, N, D), the features of N cells; `head`, an `nn.Module` that makes logits (B, K) of them.
# - Take the **highest** logit of each picture. Its gradient by the tokens, averaged **over the cells**, says how much each of the D features matters. The map is the sum of the features weighted by that, negative values set to zero.
# - Return (B, N) float32 that carries no gradient.

# %% [markdown] task="31.3"
# Example: two cells with one feature, tokens 3 and −1; the only logit is 2 · token 0 + 4 · token 1. The gradient is 2 and 4, the mean 3, so the map is max(3 · 3, 0) = 9 and max(3 · −1, 0) = 0.

# %% answer="31.3"
def grad_cam(tokens, head):
    ### BEGIN SOLUTION
    with torch.enable_grad():
        leaf = tokens.detach().clone().requires_grad_(True)
        head(leaf).amax(dim=1).sum().backward()
    matters = leaf.grad.mean(dim=1)
    return torch.einsum("bnd,bd->bn", tokens.detach(), matters).clamp(min=0)
    ### END SOLUTION

# %% check="31.3" points=4
check("31.3", grad_cam)

# %% [markdown] task="31.3"
# <details><summary>Hint 1</summary>
#
# `tokens.detach().clone().requires_grad_()` is a tensor that you may ask for a gradient. The highest logits of a batch can be summed before `backward`: no picture's logits depend on another's tokens.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `gradient.mean(1)` is (B, D). Multiply it with the tokens, sum over D, then `clamp(min=0)`.
#
# </details>

# %% [markdown] task="31.4"
# ## 31.4 Find the bug: the loss that never reaches zero
# *3 points · 15 minutes · medium*
#
# A team trains a VQA model. The loss begins at 3.4 and gets stuck above 2.4, although the model answers every training question rightly. Each picture has room for Q questions; where one has fewer, the place holds the answer −1 and must not count. Run the three invariants:

# %%
def vqa_loss_broken(logits, answers):
    """logits (B, Q, K), answers (B, Q) with -1 for no question -> the mean loss over real questions"""
    chances = logits.softmax(-1)
    return F.cross_entropy(chances.flatten(0, 1), answers.clamp(min=0).flatten())


answers = torch.tensor([[3, 1, -1], [0, -1, -1]])
sure = 50.0 * F.one_hot(answers.clamp(min=0), 30).float()
print(f"knows nothing:   {vqa_loss_broken(torch.zeros(2, 3, 30), answers):.2f}, should be 3.40")
print(f"sure and right:  {vqa_loss_broken(sure, answers):.2f}, should be 0.00")
odd = sure.clone()
odd[answers < 0] = torch.randn(3, 30) * 50
print("what stands at an empty place matters:", not torch.isclose(
    vqa_loss_broken(odd, answers), vqa_loss_broken(sure, answers)).item(), "(should be False)")

# %% [markdown] task="31.4"
# Write the function as it should be. There are two mistakes. (The first one, in other people's code, has its own thread under the best known VQA repository of 2017.)

# %% answer="31.4"
def vqa_loss(logits, answers):
    ### BEGIN SOLUTION
    real = answers >= 0
    right = logits[real].log_softmax(-1).gather(-1, answers[real][:, None])
    return -right.mean()
    ### END SOLUTION

# %% check="31.4" points=3
check("31.4", vqa_loss)

# %% [markdown] task="31.4"
# <details><summary>Hint 1</summary>
#
# `F.cross_entropy` takes logits: it has a softmax inside. Two of them squeeze 30 chances between e⁰ and e¹.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `F.cross_entropy` has an argument `ignore_index`. What does `clamp` make of −1, and which answer is that?
#
# </details>

# %% [markdown] task="31.5"
# ## 31.5 Find the bug: the same answer for every picture
# *4 points · 20 minutes · hard*
#
# A question looks at the picture. The code runs, shapes are right, and training reaches exactly the score of a blind model. Two invariants are broken: *swap the picture, and the result must change*; *pad the questions more, and it must not*.

# %%
def look_broken(words, mask, cells):
    """words (B, Q, T, D), mask (B, Q, T) True = a word, cells (B, N, D) -> (B, Q, D)"""
    question = words.mean(2)                                             # one vector a question
    scores = question @ question.transpose(1, 2) / question.shape[-1] ** 0.5
    return question + scores.softmax(-1) @ question


torch.manual_seed(0)
words, cells = torch.randn(1, 2, 4, 8), torch.randn(1, 6, 8)
mask = torch.tensor([[[True, True, True, False], [True, True, False, False]]])
words = words * mask[..., None]
before = look_broken(words, mask, cells)
swapped = look_broken(words, mask, torch.randn(1, 6, 8))
padded = look_broken(F.pad(words, (0, 0, 0, 3)), F.pad(mask, (0, 3)), cells)
print("another picture, the same result:", torch.allclose(before, swapped), "(should be False)")
print("more padding, the same result:   ", torch.allclose(before, padded), "(should be True)")

# %% [markdown] task="31.5"
# Write it as it should be: the question's vector is the mean of its **real** words; it is the query, the cells are keys and values (no weights, one head, scores divided by √D); what it sees is added to it. A question with no word at all has the vector 0 before it looks.

# %% answer="31.5"
def look(words, mask, cells):
    ### BEGIN SOLUTION
    real = mask.unsqueeze(-1).to(words.dtype)
    question = (words * real).sum(dim=2) / real.sum(dim=2).clamp(min=1)
    scores = torch.einsum("bqd,bnd->bqn", question, cells) / cells.shape[-1] ** 0.5
    return question + torch.einsum("bqn,bnd->bqd", scores.softmax(dim=2), cells)
    ### END SOLUTION

# %% check="31.5" points=4
check("31.5", look)

# %% [markdown] task="31.5"
# <details><summary>Hint 1</summary>
#
# Search the broken function for the argument `cells`. Then search it for `mask`.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A mean over real words is a sum of the real ones, divided by how many there are. Do not trust that padding is zero: in the check it holds random numbers.
#
# </details>

# %% [markdown] task="31.6"
# ## 31.6 Open challenge: read, then reason
# *4 points · 25 minutes · hard*
#
# There is another way to a VQA system (Yi and others 2018, *NS-VQA*): first read the picture into a **list of things**, then run the question as a **program** on that list. The world runs programs for you: `world.answer(scene, question)`. You write the reader.
#
# The pictures are noisy (sigma 40 of 255). The vision encoder of lesson 14 was trained on clean ones: it misses things, and sees some twice.

# %% [markdown] task="31.6"
# - `report` (M, 64, 16): what the encoder says of each of 8 × 8 patches. The 16 numbers: *a center is here* (yes above 0), *the patch is covered*, then scores of 4 shapes, 6 colors, 2 sizes, in the order of `world.SPECS["standard"]`, then x and y of the center.
# - `questions`: M lists of eight questions of all standard kinds.
# - Return M lists of eight answers, strings.
#
# Score: the share right. A blind model gets about 36%. **Target: 96%.** How high can you get? The last line below scores a first guess; use it for yours.

# %% tags=["nbval-ignore-output"]
from dataclasses import replace

from mmcourse.recipes import vqa


def examples(first, count, noise=40.0):
    """Reports, questions and right answers about noisy pictures."""
    noisy = replace(world.SPECS["standard"], noise=noise)
    scenes, asked = zip(*vqa.asked(first, count, 8, None, noisy))
    encoder = zoo.load("vision").cpu()
    with torch.no_grad():
        report = torch.cat([encoder.cell(encoder(part)) for part in batches.pictures(scenes).split(20)])
    return report, [[q.text for q in some] for some in asked], [[q.answer for q in some] for some in asked]


report, questions, right = examples(10**6, 100)
print(tuple(report.shape), questions[0][0], "->", right[0][0])


def score(answers):
    return sum(a == b for pair in zip(answers, right) for a, b in zip(*pair)) / sum(map(len, right))


print(f"always yes: {score([['yes'] * len(asked) for asked in questions]):.1%}")

# %% answer="31.6"
def read_and_reason(report, questions):
    ### BEGIN SOLUTION
    spec, answers = world.SPECS["standard"], []
    center, _, shape, color, size, place = report.split((1, 1, 4, 6, 2, 2), dim=-1)
    for b, asked in enumerate(questions):
        things = [world.Object(spec.shapes[shape[b, n].argmax()], spec.colors[color[b, n].argmax()],
                               spec.sizes[size[b, n].argmax()], x=place[b, n, 0].clamp(0, 1).item(),
                               y=place[b, n, 1].clamp(0, 1).item())
                  for n in center[b, :, 0].argsort(descending=True).tolist() if center[b, n, 0] > -2]
        things = [thing for i, thing in enumerate(things)     # the surest of those that are too near to each other
                  if not any(max(abs(thing.x - one.x), abs(thing.y - one.y)) < 0.1 for one in things[:i])]
        row = []
        for text in asked:
            try:
                row.append(world.answer(world.Scene(things), text))
            except ValueError:                                # no such thing, or two of them: a guess
                row.append("red" if "color" in text else "circle" if "shape" in text else "large" if "size" in text else "yes")
        answers.append(row)
    return answers
    ### END SOLUTION

# %% check="31.6" points=4 tags=["nbval-ignore-output"]
check("31.6", read_and_reason)

# %% [markdown] task="31.6"
# <details><summary>Hint 1</summary>
#
# `report.split((1, 1, 4, 6, 2, 2), -1)` gives the six parts. Each patch whose first number is above 0 becomes one `world.Object(shape, color, size, x=..., y=...)`, with x and y kept inside of 0 to 1; `world.Scene(things)` takes the list.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# If the question speaks of *the* red circle and your list has none, or two, `world.answer` raises a ValueError: catch it and guess. To get higher, look at these cases. Of two things nearer than 0.1 keep the surer one; then the threshold may be lower, down to −2. Guess a color where a color is asked.
#
# </details>
