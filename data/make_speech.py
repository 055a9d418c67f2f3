"""Record the course's vocabulary in four synthetic voices: needs espeak-ng (1.51 made the shipped file).

    python data/make_speech.py

writes data/speech.npz: `words` (W,) and `voices` (V,) strings; `samples`, 8-bit mu-law at 8 kHz, every word
of the first voice, then of the next; `ends` (V, W), where each word ends in them.
"""

import io
import os
import subprocess
import wave
from pathlib import Path

import numpy as np

from mmcourse.world.language import VOCABULARY
from mmcourse.world.speech import RECORDED, mu_law

VOICES = {  # name -> espeak-ng's voice, pitch (0 to 99), words a minute
    "bass": ("en-us+m7", 30, 175), "tenor": ("en-gb+m3", 55, 180),
    "alto": ("en-us+f2", 45, 175), "soprano": ("en-gb-scotland+f4", 70, 170),
}
MORE = """yes zero one two three four five six seven eight nine at end way does move first times bounce
bounces appear appears leave leaves change changes changed up down before was it rest rests slide slides shake
shakes spin spins""".split()
SOUNDS = {"a": "[[a#]]"}  # words that espeak-ng would spell out when they stand alone


def record(word, voice, pitch, speed):
    """A word as float (n,) at 8 kHz, silence cut off, all equally loud."""
    text = SOUNDS.get(word, word)
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", text]
    with wave.open(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)) as file:
        rate, sound = file.getframerate(), np.frombuffer(file.readframes(10 ** 7), np.int16) / 2 ** 15
    loud = np.flatnonzero(abs(sound) > 0.01 * abs(sound).max())
    sound = sound[max(loud[0] - 100, 0):loud[-1] + 100]
    n = round(len(sound) * RECORDED / rate)
    sound = np.fft.irfft(np.fft.rfft(sound)[:n // 2 + 1], n) * n / len(sound)
    sound *= min(0.1 / np.sqrt(np.mean(sound ** 2)), 0.95 / abs(sound).max())
    fade = np.minimum(np.arange(n), np.arange(n)[::-1]).clip(max=40) / 40  # 5 ms
    return sound * fade


def main():
    words = sorted({word for word in VOCABULARY if word.isalpha()} | set(MORE))
    sounds = [mu_law(record(word, *settings)) for settings in VOICES.values() for word in words]
    ends = np.cumsum([len(sound) for sound in sounds], dtype=np.int32).reshape(len(VOICES), len(words))
    path, part = Path(__file__).with_name("speech.npz"), Path(__file__).with_name("speech.part.npz")
    np.savez_compressed(part, words=words, voices=list(VOICES), samples=np.concatenate(sounds), ends=ends)
    os.replace(part, path)
    seconds, size = ends[-1, -1] / RECORDED, path.stat().st_size
    print(f"{len(words)} words, {len(VOICES)} voices, {seconds:.0f} s, {size:,} bytes")


if __name__ == "__main__":
    main()
