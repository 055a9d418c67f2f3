"""One small world of shapes: scenes, their pictures, sentences, questions, and an oracle that reads pictures back."""

from mmcourse.world.captions import STYLES, Negative, captions, negatives
from mmcourse.world.drawing import draw
from mmcourse.world.language import VOCABULARY, answer, parse, satisfies, say
from mmcourse.world.oracle import read
from mmcourse.world.programs import RELATIONS, NotUnique, execute, relations
from mmcourse.world.questions import KINDS, STANDARD_KINDS, NothingToAsk, Question, answers, questions
from mmcourse.world.scene import (BACKGROUNDS, COLORS, SHAPES, SIZES, SPECS, TEXTURES, UNKNOWN, Object, Scene, Spec,
                                  sample)
from mmcourse.world.scoring import CATEGORIES, Prompt, prompts, right, score
from mmcourse.world.splits import (SPLITS, Pair, Split, biased_questions, complement, favourite, split, three_dials,
                                   three_dials_best)

__all__ = [
    "BACKGROUNDS", "CATEGORIES", "COLORS", "KINDS", "Negative", "NotUnique", "NothingToAsk", "Object", "Pair",
    "Prompt", "Question", "RELATIONS", "SHAPES", "SIZES", "SPECS", "SPLITS", "STANDARD_KINDS", "STYLES",
    "Scene", "Spec", "Split", "TEXTURES", "UNKNOWN", "VOCABULARY", "answer", "answers", "biased_questions",
    "captions", "complement", "draw", "execute", "favourite", "negatives", "parse", "prompts", "questions",
    "read", "relations", "right", "sample", "satisfies", "say", "score", "split", "three_dials",
    "three_dials_best",
]
