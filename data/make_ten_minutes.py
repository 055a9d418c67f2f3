"""Write data/ten_minutes.json: how well ten minutes on two cores teach painting, from the reader's first step on.

    python data/make_ten_minutes.py

The curve is of first tries, 10 sentences of each category; the end is of 25 others of each, with up to 100 tries. Judging
takes some minutes more.
"""

import json
import time
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import torch

from mmcourse import recipes, training
from mmcourse.recipes import painter, reader

FILE, STEPS, POINTS = Path(__file__).with_name("ten_minutes.json"), 2650, 5


def main():
    torch.manual_seed(0)
    start, words = time.perf_counter(), reader.model()
    training.fit(words, reader.batch, recipes.halved(reader.loss), reader.RECIPE.steps["cpu"], **reader.RECIPE.options)
    reading, model = time.perf_counter() - start, painter.model()
    model.text.load_state_dict(words.text.state_dict())
    recipe = replace(painter.RECIPE, evaluate=partial(painter.evaluate, n=10, tries=1))
    points = recipes.curve(recipe, model, STEPS, 1.0, STEPS // POINTS)
    found = {"date": str(date.today()), "torch": torch.__version__, "threads": torch.get_num_threads(), "steps": STEPS,
             "bfloat16": torch.cpu._is_avx512_bf16_supported(), "seconds of the reader": round(reading),
             "seconds": round(reading + points[-1][0]),
             "curve": [{"seconds": round(reading + wall), "first tries": round(score, 3)} for wall, _, score in points],
             "up to 100 tries": {name: round(share, 3) for name, share in painter.evaluate(model, 25, 2 ** 31 + 7000).items()}}
    print(json.dumps(found, indent=1))
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
