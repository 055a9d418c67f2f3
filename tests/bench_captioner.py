"""How fast the captioner writes beside transformers' generate, same weights, same pictures, one run:

    python tests/bench_captioner.py

Prints the medians of alternating runs and their ratios. Not a test: timings need a quiet machine.
"""

import torch
from bench_language_model import seconds

from mmcourse import world, zoo
from mmcourse.batches import END, START, pictures
from mmcourse.models.captioning import LONGEST, Telling, to_transformers
from mmcourse.models.language_model import beam_search, generate


def writing(ours, theirs, count, beams=1, repeats=7):
    """Tokens a second from pixels to ids, the picture's encoding included."""
    images = pictures([world.sample(2 ** 31 + i) for i in range(count)])

    def mine():
        with torch.inference_mode():
            context = ours.see(images)
            if beams == 1:
                return generate(Telling(ours, context), [[START]] * count, LONGEST - 1, END)
            return [beam_search(Telling(ours, one[None]), [START], beams, LONGEST - 1, END) for one in context]

    def library():
        rows = theirs.generate(pixel_values=images, do_sample=False, num_beams=beams)[:, 1:].tolist()
        return [row[:row.index(END)] if END in row else row for row in rows]

    took = seconds({"ours": mine, "transformers": library}, repeats)
    tokens = sum(len(row) + 1 for row in mine())
    rates = {name: round(tokens / time) for name, time in took.items()}
    print(f"{count} pictures, {beams} beams: {rates} tokens a second, {took['transformers'] / took['ours']:.2f} times as "
          f"fast, same tokens: {mine() == library()}", flush=True)


if __name__ == "__main__":
    captioner = zoo.load("captioner").cpu()
    twin = to_transformers(captioner)
    for count, beams in ((1, 1), (16, 1), (100, 1), (1, 4)):
        writing(captioner, twin, count, beams)
