"""Our BPE against the tokenizers library: merges, vocabulary and tokens, on the corpus and on random text."""

import json
from random import Random

import pytest

from mmcourse.models.tokenizer import BPE, END, WORD, spell
from mmcourse.recipes import lm
from mmcourse.world import corpus

tokenizers = pytest.importorskip("tokenizers")


def library(texts, size):
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORD), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    return made


def agree(texts, size, fresh):
    ours, theirs = BPE.train(texts, size), library(texts, size)
    assert list(ours.ranks) == [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]
    assert theirs.get_vocab() == ours.ids
    for text in fresh:
        assert ours.encode(text) == theirs.encode(text).ids and ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("size", [257, 300, 400, 512, 700])
def test_the_corpus_gives_the_librarys_merges(size):
    agree([corpus.tell(seed).text for seed in range(1500)], size, [corpus.tell(seed).text for seed in range(2000, 2200)])


@pytest.mark.parametrize("seed", range(20))
def test_random_text_with_many_ties_does_too(seed):
    random = Random(seed)
    texts = ["".join(random.choices("aab c1.é中!? \n", k=random.randint(1, 60))) for _ in range(25)]
    agree(texts[:20], 290, texts)


def test_any_text_comes_back():
    bpe = lm.tokenizer()
    for text in ("", "a red star.", "Ünïcode 中文 🙂", "two  spaces\n\ttabs", "<end>", "7 + 12 = 19."):
        assert bpe.decode(bpe.encode(text)) == text
    assert bpe.encode("<end>") != [0] and bpe.decode([0]) == ""               # a text cannot end itself
    assert spell(" é") == ["Ġ", "Ã", "©"]


def test_the_shipped_tokenizer_is_the_one_the_corpus_gives():
    assert list(lm.trained_tokenizer().ranks) == list(lm.tokenizer().ranks)
