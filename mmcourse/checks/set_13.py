"""Checks of lesson 13, a language model. Truth: counting loops, torch's cross_entropy, sums, Viterbi's exact search."""

import math
from itertools import product
from random import Random

import torch
import torch.nn.functional as F

from mmcourse.checks import close, exercise, expect, mistakes, numbers, same, takes, tensor


@exercise("13.1", points=2)
def predictions(answer):
    got = numbers(answer, "blind", "loss", "ratio", "nucleus", "cache", "below")

    def near(name, value):
        return abs(got[name] - value) < 0.01 * max(1, value)
    expect(not near("blind", math.log(50)), '"blind": that is the loss, ln 50; perplexity is e to the loss.')
    expect(near("blind", 50), '"blind": among how many equally likely tokens does it choose?')
    expect(not near("loss", math.log(64)), '"loss": that is the whole text; the loss is the mean over its 6 tokens.')
    expect(not near("loss", 1), '"loss": that is in bits (log to base 2); nats take the natural logarithm.')
    expect(near("loss", math.log(2)), '"loss": minus ln(1/64), divided by the 6 tokens.')
    expect(not near("ratio", math.e), '"ratio": the logits are divided by the temperature, and dividing by 0.5 doubles them.')
    expect(not near("ratio", math.exp(2)), '"ratio": that is at temperature 1; at 0.5 the logits are twice as large.')
    expect(near("ratio", math.exp(4)), '"ratio": logits 4 and 0 after the division; chances go like e to the logit.')
    expect(got["nucleus"] != 2, '"nucleus": 0.5 + 0.3 is not yet 0.9: the token that crosses the line stays.')
    expect(got["nucleus"] == 3, '"nucleus": add the largest chances until 0.9 is reached, and count them.')
    expect(got["cache"] != 4 * 6 * 32 * 2, '"cache": the six query heads share two key and value heads; only those are kept.')
    expect(got["cache"] != 4 * 2 * 32, '"cache": keys and values: two numbers for each place.')
    expect(got["cache"] == 512, '"cache": blocks x heads that are kept x width x two (key and value).')
    expect(not got["below"], '"below": the entropy is the least mean loss there is. Below it, the model has seen the answers.')


def _rewritten(parts, pair):
    """The pieces with every neighboring pair joined, by walking from left to right."""
    out, k = [], 0
    while k < len(parts):
        if k + 1 < len(parts) and (parts[k], parts[k + 1]) == pair:
            out.append(parts[k] + parts[k + 1])
            k += 2
        else:
            out.append(parts[k])
            k += 1
    return out


def merges(words, number, weigh=True, within=True, rewrite=_rewritten, strict=False, tally=list):
    """BPE by loops; the switches are the mistakes. With `strict`, None if a tie would decide."""
    split, learned = {word: list(word) for word in words}, []
    for _ in range(number):
        counts = {}
        for word, parts in split.items():
            for pair in tally(zip(parts, parts[1:])):
                counts[pair] = counts.get(pair, 0) + (words[word] if weigh else 1)
        if not within:
            for one, two in zip(list(split.values()), list(split.values())[1:]):
                counts[one[-1], two[0]] = counts.get((one[-1], two[0]), 0) + 10 ** 9
        if not counts:
            break
        most = sorted(counts.values())
        if len(most) > 1 and most[-1] == most[-2] and strict:
            return None
        top = max(counts, key=counts.get)
        learned.append(list(top))
        split = {word: rewrite(parts, top) for word, parts in split.items()}
    return learned


def _language(random, letters, number):
    """Random words with counts whose first `number` merges are decided without ties."""
    while True:
        words = {"".join(random.choices(letters, k=random.randint(2, 7))): random.randint(1, 10 ** 6) for _ in range(12)}
        found = merges(words, number, strict=True)
        if found is not None and len({str(merges(words, number, tally=tally)) for tally in (list, set, _apart)}) == 3:
            return words, found


def _apart(pairs):
    """Neighbors without those that overlap the same ones before: in a a a only one a, a."""
    kept, last = [], None
    for pair in pairs:
        last = None if pair == last else pair
        kept += [pair] * (last is not None)
    return kept


def _first_only(parts, pair):
    for k in range(len(parts) - 1):
        if (parts[k], parts[k + 1]) == pair:
            return [*parts[:k], parts[k] + parts[k + 1], *parts[k + 2:]]
    return parts


@exercise("13.2", points=3)
def learn_merges(answer):
    takes(answer, "words", "number")
    random = Random(int(torch.randint(2 ** 31, ())))
    example = {"ab": 5, "abc": 2, "xc": 4}

    def asked(words, number):
        got = answer(dict(words), number)
        expect(isinstance(got, (list, tuple)), f"Return a list of pairs, and not a {type(got).__name__}.")
        expect(all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in got),
               "Every merge is a pair [left, right] of strings.")
        return [list(pair) for pair in got]
    got = asked(example, 1)
    expect(len(got) == 1, f"One merge was asked for, and {len(got)} came.")
    expect(got == [["a", "b"]], f"In {example} the pair a, b occurs 7 times, more than any other; yours begins with {got[0]}.")
    for letters in ("abc", "ab"):
        for _ in range(5):
            words, want = _language(random, letters, 8)
            got = asked(words, 8)
            if got == want:
                continue
            expect(got != merges(words, 8, tally=_apart), "Neighbors are counted wherever they stand side by side: a, a twice in "
                                                          "a a a.")
            expect(got != merges(words, 8, tally=set), "A pair was counted once for each word: it may stand there several times.")
            expect(got != merges(words, 8, weigh=False), "Every word was counted once: a pair occurs as often as its word "
                                                         "does.")
            expect(got != merges(words, 8, rewrite=_first_only),
                   "Only the first place in a word was joined: join the pair everywhere in it.")
            expect(got[:1] == want[:1], f"The first merge should be {want[0]}, the most frequent pair, and yours is "
                                        f"{got[0] if got else 'nothing'}. Pairs stand within one word, never over its end.")
            wrong = next((k for k, pair in enumerate(want) if got[k:k + 1] != [pair]), len(want))
            expect(len(got) >= len(want), f"Only {len(got)} merges came where {len(want)} are possible.")
            expect(False, f"Merge {wrong + 1} should be {want[wrong] if wrong < len(want) else 'missing'}, and yours is "
                          f"{got[wrong] if wrong < len(got) else 'missing'}. After a join, count anew, and go on behind the joined "
                          "piece (a a a becomes aa a).")
    for words in ({"ab": 3}, {"ab": 1}):
        short = asked(words, 5)
        expect(short == [["a", "b"]], f"From {words} one merge can be learned, then no pair is left; yours: {short}.")
    expect(asked(example, 0) == [], "With number = 0 nothing is learned: an empty list.")


@exercise("13.3", points=3)
def nucleus(answer):
    takes(answer, "logits", "p", "temperature")
    for heat, p in ((0.5, 0.75 + 0.2 * torch.rand(()).item()), (1.8, 0.75 + 0.2 * torch.rand(()).item()), (1.0, 0.3)):
        _nucleus(answer, torch.randn(4, 9) * torch.tensor([[0.5], [1.5], [1.5], [3.0]]), p, heat)
    even = answer(torch.zeros(1, 8), 0.5, 1.0)
    expect((even > 0).sum() == 4, f"Of eight tokens that are equally likely, p = 0.5 keeps four, and yours keeps {(even > 0).sum()}: a "
                                  "token stays only if the sum before it is still below p.")
    logits = torch.randn(4, 9)
    close(answer(logits.clone(), 0.01, 1.0), F.one_hot(logits.argmax(-1), 9).float(),
          "With a tiny p exactly one token of each row must be left: the likeliest always stays.")
    close(answer(logits.clone(), 1.0, 1.0), logits.softmax(-1), "With p = 1 and temperature 1 nothing is cut off.")


def _nucleus(answer, logits, p, heat):
    def cut(logits, p, cross=True):
        chances = logits.softmax(-1)
        kept = torch.zeros_like(chances)
        for row, line in zip(kept, chances):
            total = 0.0
            for i in line.argsort(descending=True).tolist():
                if total >= p or not cross and total + line[i] > p:
                    break
                row[i], total = line[i], total + line[i].item()
        return kept
    raw, less = cut(logits / heat, p), cut(logits / heat, p, cross=False)
    want = raw / raw.sum(-1, keepdim=True)
    got = answer(logits.clone(), p, heat)
    expect(not isinstance(got, torch.Tensor) or not same(got.nan_to_num(0.0), less / less.sum(-1, keepdim=True).clamp(min=1e-9)),
           "The token that crosses p was dropped: keep it, or less than p is left.")
    tensor(got, (4, 9), torch.float32, "The result")
    sharp = want.sort(-1, descending=True).values
    sorted_mask = (logits / heat).softmax(-1) * (sharp > 0)
    expect(same(raw, want) or not same(got, raw), "The rows do not sum to one: divide by what is left after the cut.")
    for hint, wrong in {
            "The temperature is not used: divide the logits by it.": cut(logits, p),
            "The logits were multiplied by the temperature: divide by it.": cut(logits * heat, p),
            "The chances come out sorted: put every token back in its place.": sharp,
            "The cut was found for sorted chances and used on unsorted ones: put it back in place first.": sorted_mask,
            "Nothing was cut off.": (logits / heat).softmax(-1)}.items():
        for form in (wrong, wrong / wrong.sum(-1, keepdim=True).clamp(min=1e-9)):
            expect(same(form, want) or not same(got, form), hint)
    close(got, want, "These are not the chances of the nucleus.")


@exercise("13.4", points=3)
def text_loss(answer):
    takes(answer, "logits", "tokens", "pad")
    pad = int(torch.randint(4, 9, ()))                      # some numbers are below it, some above
    tokens = torch.randint(1, 11, (3, 8))
    tokens += tokens >= pad                                  # any number but that of the padding
    tokens[0, 1], tokens[0, 2] = 1, 11
    for row, length in zip(tokens, (8, 5, 3)):
        row[length:] = pad
    logits = torch.randn(3, 8, 12) * 2
    got = answer(logits.clone(), tokens.clone(), pad)
    tensor(got, (), torch.float32, "The loss")

    def plain(by, skip=True):
        return F.cross_entropy(logits[:, :8 - by].flatten(0, 1), tokens[:, by:].flatten(), ignore_index=pad if skip else -100)
    twice, unmoved = ("It still shifts twice: position t is asked for token t + 2.",
                      "Now nothing is shifted: position t is asked for the token it has just read.")
    labels = F.pad(tokens[:, 2:], (0, 1), value=pad)
    each = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=pad, reduction="none")
    rows = each.view(3, 7).sum(1) / (tokens[:, 1:] != pad).sum(1)
    mistakes(got, plain(1), (plain(2), twice), (plain(2, False), twice), (plain(0), unmoved), (plain(0, False), unmoved),
             (F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten()), twice),
             (plain(1, skip=False), "The shift is right now, but the padding is still counted: leave those positions out."),
             (F.cross_entropy(logits[:, 1:].flatten(0, 1), tokens[:, :-1].flatten(), ignore_index=pad),
              "The shift goes the wrong way: position t is asked for the token before it."),
             (each.mean(), "The sum is right, but it is divided by all positions: divide by the real ones."),
             (rows.mean(), "This is the mean of the rows' means: take the mean over all real positions of the batch."),
             (F.cross_entropy(logits.flatten(0, 1), tokens.roll(-1, 1).flatten(), ignore_index=pad),
              "The last position has no next token: roll brings the first one there."),
             (each.sum(), "This is the sum: divide by the number of real next tokens."),
             (each.view(3, 7)[tokens[:, :-1] != pad].mean(),
              "Positions were left out by the token that was just read: go by the next one."),
             (plain(1) / math.log(2), "This is in bits: take the natural logarithm."))
    close(got, plain(1), "This is not the mean loss over the real next tokens.")


@exercise("13.5", points=3)
def prepare(answer):
    takes(answer, "prompts", "pad")
    pad = int(torch.randint(1, 4, ()))
    prompts = [torch.randint(4, 20, (n,)).tolist() for n in (3, 6, 1, int(torch.randint(2, 6, ())))]
    for row in prompts[:2]:
        row[0] = pad                                               # a real token that has the number of padding
    got = answer([list(row) for row in prompts], pad)
    expect(isinstance(got, (tuple, list)) and len(got) == 4, "Return four things: tokens, places, mask, next_place.")
    tokens, places, mask, next_place = got
    tensor(tokens, (4, 6), torch.int64, "tokens")
    tensor(places, (4, 6), torch.int64, "places")
    tensor(mask, (4, 6, 6), torch.bool, "mask")
    tensor(next_place, (4,), torch.int64, "next_place")
    lengths = [len(row) for row in prompts]
    there = torch.arange(6) >= 6 - torch.tensor(lengths)[:, None]
    expect(not torch.equal(places, ((tokens != pad).cumsum(1) - 1).clamp(min=0)),
           "A real token that has the number `pad` was taken for padding: count by the lengths of the prompts.")
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    expect(not torch.equal(~mask, torch.where(there[:, :, None], causal & there[:, None], torch.eye(6, dtype=torch.bool))),
           "The mask is upside down: True = may look.")
    expect(tokens[:, -1].tolist() != [pad if n < 6 else prompts[b][-1] for b, n in enumerate(lengths)] or min(lengths) == 6,
           "The padding stands on the right: pad on the left, so that every prompt ends in the last column.")
    for b, (row, n) in enumerate(zip(prompts, lengths)):
        expect(tokens[b].tolist() == [pad] * (6 - n) + row, f"Row {b} of tokens should be {[pad] * (6 - n) + row}.")
        expect(n == 6 or places[b].tolist() != list(range(6)), "The padding still counts as places: the first real token of "
                                                               "every prompt stands at place 0.")
        expect(places[b].min() >= 0, "A place is negative: give the padding place 0.")
        expect(places[b].tolist() == [0] * (6 - n) + list(range(n)),
               f"A prompt of {n} in a row of 6 has the places {[0] * (6 - n) + list(range(n))}, yours: {places[b].tolist()}.")
        for t in range(6):
            for s in range(6):
                seen, real = bool(mask[b, t, s]), s >= 6 - n
                if t >= 6 - n:
                    expect(not (seen and s > t), "A token sees what comes after it: the mask must be causal, too.")
                    expect(not seen or real, "A real token still sees padding: hide those keys.")
                    expect(seen or s > t or not real, "A real token does not see all real tokens before it, itself included.")
                else:
                    expect(seen == (s == t), "A padding token should see itself and nothing else: a row without any True "
                                             "becomes NaN in many libraries.")
    expect(next_place.tolist() != [6] * 4, "The new token stands at the padded length: count the real tokens of each prompt.")
    expect(next_place.tolist() != [n - 1 for n in lengths], "next_place is one too small: the last token of the prompt already "
                                                            "stands there.")
    expect(next_place.tolist() == lengths, f"After prompts of {lengths} tokens the next places are just these numbers.")


@exercise("13.6", points=4)
def likeliest(answer):
    takes(answer, "first", "then", "length")
    found, worst = 0, 0.0
    languages = torch.randn(120, 13, 12).mul(1.5).log_softmax(-1)            # drawn before: an answer may set the seed
    for first, *then in languages:
        then = torch.stack(then)
        got = answer(first.clone(), then.clone(), 10)
        expect(isinstance(got, (list, tuple)) and len(got) == 10, "Return a list of 10 token ids.")
        expect(all(type(token) is int and 0 <= token < 12 for token in got), "Every token is a whole number from 0 to 11 "
                                                                                 "(use .item() or .tolist()).")
        score = first[got[0]] + sum(then[a, b] for a, b in zip(got, got[1:]))
        best = first
        for _ in range(9):
            best = (best[:, None] + then).max(0).values
        lost = (best.max() - score).item()
        found, worst = found + (lost < 1e-4), max(worst, lost)
    print(f"The likeliest text was found in {found} of 120 languages (target: 114); worst miss {worst:.2f} nats.")
    expect(found > 12, f"Found in {found} of 120, fewer than greedy finds: is row i the token before, and does the list go from the first "
                       "token to the last?")
    expect(found > 60, f"Found in {found} of 120; greedy finds about 34. A token that is second best now may lead to better ones: keep "
                       "several beginnings, and of each text all of its tokens.")
    expect(found >= 114, f"Found in {found} of 120, close: keep more beginnings, or for every last token the best text that "
                        "ends in it.")
    for length in (1, 3):
        first, then = torch.randn(5).log_softmax(-1), torch.randn(5, 5).log_softmax(-1)

        def worth(text):
            return (first[text[0]] + sum(then[a, b] for a, b in zip(text, text[1:]))).item()
        got, best = answer(first.clone(), then.clone(), length), max(product(range(5), repeat=length), key=worth)
        expect(len(got) == length and abs(worth(got) - worth(best)) < 1e-4, f"In a language of 5 tokens the likeliest text of {length} is "
                                                                            f"{list(best)}, and yours is {list(got)}.")

