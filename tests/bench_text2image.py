"""How fast `draw` is beside the diffusers pipeline with the same weights, in one run:

    python tests/bench_text2image.py [THREADS]

Prints the medians of alternating runs and their ratio. Not a test: timings need a quiet machine.
"""

import sys
import tempfile

import numpy as np
import torch
from bench_language_model import seconds
from diffusers import DiffusionPipeline

from mmcourse import world, zoo
from mmcourse.models.text2image import save_for_diffusers


def drawing(artist, pipe, count, steps=20, repeats=3):
    said = [world.sample(2 ** 31 + k, world.Spec(objects=(1, 3))).caption(k, "full") for k in range(count)]

    def library():
        return pipe(said, num_inference_steps=steps, generator=[torch.Generator().manual_seed(k) for k in range(count)])

    def ours():
        return artist.draw(said, steps=steps)

    took = seconds({"ours": ours, "diffusers": library}, repeats)
    gap = max(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() for a, b in zip(ours(), library()))
    print(f"{count} pictures, {steps} steps, {torch.get_num_threads()} threads: ours {took['ours']:.2f} s, diffusers "
          f"{took['diffusers']:.2f} s, {took['diffusers'] / took['ours']:.2f} times as fast, {gap} grey levels apart", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        torch.set_num_threads(int(sys.argv[1]))
    artist = zoo.load("text2image").cpu()
    with tempfile.TemporaryDirectory() as folder:
        save_for_diffusers(artist, folder)
        pipe = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    for count in (1, 64):
        drawing(artist, pipe, count)
