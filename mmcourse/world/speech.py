"""Sentences of this world in recorded words of four synthetic voices."""

import difflib
import re
from functools import lru_cache

import numpy as np

from mmcourse import UsageError, root
from mmcourse.world.audio import RATE
from mmcourse.world.scene import as_seed, known

VOICES = ("bass", "tenor", "alto", "soprano")
RECORDED = 8_000  # samples a second of the recordings
DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split()))


def mu_law(wave):
    """Samples in [-1, 1] as uint8, finer where it is quiet (curve of ITU-T G.711, mu = 255); 128 is 0."""
    return np.round(np.sign(wave) * np.log1p(255 * abs(wave)) / np.log(256) * 127 + 128).astype(np.uint8)


def from_mu_law(codes):
    """The samples of mu-law codes: float in [-1, 1]."""
    signed = (codes - 128.0) / 127
    return np.sign(signed) * (256 ** abs(signed) - 1) / 255


@lru_cache(maxsize=1)
def recordings():
    """The recorded words, {voice: {word: uint8 mu-law samples at 8 kHz}}; see data/speech.md."""
    path = root() / "data" / "speech.npz"
    if not path.exists():
        raise UsageError("The recordings data/speech.npz are missing: get them from the course's repository.")
    with np.load(path, allow_pickle=False) as file:
        words, voices, samples, ends = (file[name] for name in ("words", "voices", "samples", "ends"))
    pieces = iter(np.split(samples, ends.ravel()))
    return {str(voice): {str(word): next(pieces) for word in words} for voice in voices}


def speak(sentence, voice="alto", seed=0):
    """A sentence or an answer, spoken: float32 (samples,) in [-1, 1] at 16 kHz, with nothing above 4 kHz.

    `voice` is one of VOICES; the seed varies tempo, loudness of each word and the gaps between them. The
    truth to ask for is the sentence. Raises ValueError for a word without a recording, an empty sentence and
    an unknown voice.
    """
    words, parts = recordings()[known("voice", voice, VOICES)], []
    random = np.random.default_rng(as_seed(seed))
    tempo = random.uniform(0.92, 1.08)
    for token in re.findall(r"\w+|[^\w\s]", str(sentence).lower()):
        if token in (".", ",", "?"):
            parts.append(np.zeros(RATE // 5))
            continue
        token = DIGITS.get(token, token)
        if token not in words:
            close = difflib.get_close_matches(token, words, 1)
            hint = f"did you mean {close[0]!r}?" if close else "the recorded words are those of this world."
            raise ValueError(f"There is no recording of {token!r}: {hint}")
        recorded = from_mu_law(words[token])
        n = round(len(recorded) * RATE / RECORDED * tempo)
        parts.append(np.fft.irfft(np.fft.rfft(recorded), n) * n / len(recorded) * random.uniform(0.8, 1.0))
        parts.append(np.zeros(round(RATE * random.uniform(0.03, 0.09))))
    if not any(part.any() for part in parts):
        raise ValueError("There is nothing to say: give a sentence of at least one word.")
    return np.concatenate(parts).clip(-1, 1).astype(np.float32)
