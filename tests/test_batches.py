"""Batches: shapes, ranges, truth, round trips, and the same batch again for the same step."""

import time

import pytest
import torch
from torch.utils.data import DataLoader

from mmcourse import batches, world
from mmcourse.training import Steps


def test_words_there_and_back():
    sentences = [text for seed in range(300) for scene in [world.sample(seed)]
                 for text in (scene.caption(seed), world.questions(scene, 1, seed)[0].text if len(scene) > 1 else "a circle")]
    ids, mask = batches.encode(sentences)
    assert batches.decode(ids) == sentences
    assert mask.sum(1).tolist() == [(row != 0).sum().item() for row in ids] and ids[:, 0].eq(batches.START).all()


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="does not know the word 'zebra'"):
        batches.encode(["a red zebra"])


def test_vqa_answers_are_the_programs_answers():
    pictures, ids, mask, answers = batches.vqa(3, count=8, each=4)
    assert pictures.shape == (8, 3, 64, 64) and pictures.min() >= -1 and pictures.max() <= 1
    assert ids.shape[:2] == answers.shape == (8, 4) and mask.equal(ids != 0)
    for picture, texts, given in zip(pictures, ids, answers):
        seen = world.read(((picture.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())
        for text, answer in zip(batches.decode(texts), given.tolist()):
            assert world.answer(seen, text) == batches.ANSWERS[answer]


def test_a_kind_that_nothing_can_be_asked_of_is_no_endless_search():
    with pytest.raises(world.NothingToAsk):
        batches.vqa(0, 1, 1, kinds="query_texture")                     # all is solid in the standard world


def test_pictures_that_are_none():
    for images, words in (([], "There is no picture"), (None, "this is NoneType"), ("a.png", "this is str")):
        with pytest.raises(ValueError, match=words):
            batches.pixels(images)


def test_contrastive_knows_its_false_negatives():
    _, ids, _, fits = batches.contrastive(0, count=32)
    assert fits.diagonal().all() and 32 < fits.sum() < 32 * 32
    shown = batches.scenes(0, 32)
    assert fits[3, 5] == world.satisfies(shown[3], batches.decode(ids[5:6])[0])


def test_sounds_and_films():
    waves, ids, mask = batches.sounds(1, count=4)
    assert waves.dim() == 2 and len(waves) == len(ids) == 4 and waves.abs().max() <= 1
    clips = batches.films(1, count=2, frames=4)
    assert clips.shape == (2, 4, 3, 32, 32) and clips.abs().max() <= 1


def test_a_step_is_always_the_same_and_workers_change_nothing():
    here = [batches.captions(step, count=4) for step in range(3)]
    there = DataLoader(Steps(lambda step: batches.captions(step, count=4)), batch_size=None, sampler=range(3), num_workers=1)
    for mine, other in zip(here, there):
        assert all(torch.equal(a, b) for a, b in zip(mine, other))
    assert not here[0][0].equal(here[1][0])


def test_a_large_batch_is_quick():
    batches.vqa(0, count=8)
    seconds = []
    for step in range(5):
        start = time.process_time()
        batches.vqa(step, count=128, each=16)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.4, f"{min(seconds):.3f} s of processor time; 0.1 on a machine that does nothing else"
