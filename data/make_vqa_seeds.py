"""Write data/vqa_seeds.json: how soon the recipe of question answering answers 98% rightly, from three starts.

    python data/make_vqa_seeds.py

Seed 0 is the run of `mmcourse train vqa --until 0.98`; the others start from other weights and learn from other scenes.
All are judged by the same held-out questions. About five minutes a seed on one core.
"""

import json
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import torch

from mmcourse import recipes, world
from mmcourse.recipes import vqa

FILE, GOAL, EVERY = Path(__file__).with_name("vqa_seeds.json"), 0.98, 100


def batch(seed, step):
    """The data of a step, none of which another seed sees."""
    return vqa.batch(seed * vqa.RECIPE.steps["cpu"] + step)


def main():
    held, runs = vqa.asked(world.split("validation").seeds[0], 500, 24, world.STANDARD_KINDS), []
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        recipe = replace(vqa.RECIPE, batch=partial(batch, seed), evaluate=lambda model: vqa.judge(model, held))
        points = recipes.curve(recipe, recipe.model(), recipe.steps["cpu"], GOAL, EVERY)
        runs.append({"seed": seed, "steps": EVERY * len(points), "processor seconds": round(points[-1][1]),
                     "accuracy": round(points[-1][2], 4), "curve": [round(score, 4) for *_, score in points]})
        print(runs[-1], flush=True)
        FILE.write_text(json.dumps({"date": str(date.today()), "torch": torch.__version__,
                                    "bfloat16": torch.cpu._is_avx512_bf16_supported(), "runs": runs}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
