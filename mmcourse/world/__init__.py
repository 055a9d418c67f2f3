"""One small world of shapes: scenes in every modality, sentences, questions, and what reads them back."""

from mmcourse.world.audio import hear, sound
from mmcourse.world.captions import STYLES, Negative, captions, negatives
from mmcourse.world.drawing import draw
from mmcourse.world.language import VOCABULARY, answer, parse, satisfies, say
from mmcourse.world.oracle import read
from mmcourse.world.programs import RELATIONS, NotUnique, execute, relations
from mmcourse.world.questions import KINDS, STANDARD_KINDS, NothingToAsk, Question, answers, questions
from mmcourse.world.scene import (BACKGROUNDS, COLORS, SHAPES, SIZES, SPECS, TEXTURES, UNKNOWN, Object, Scene,
                                  Spec, sample)
from mmcourse.world.scoring import CATEGORIES, Prompt, prompts, right, score
from mmcourse.world.splits import (SPLITS, Pair, Split, biased_questions, complement, favourite, split,
                                   three_dials, three_dials_best)
from mmcourse.world.film_questions import film_answer, film_questions
from mmcourse.world.points import Cloud, cloud
from mmcourse.world.sensor import ACTIVITIES, activities, feel, trace, trace_questions
from mmcourse.world.speech import VOICES, speak
from mmcourse.world.video import Event, Film, film, watch

__all__ = [
    "ACTIVITIES", "Cloud", "Event", "Film", "VOICES", "activities", "cloud", "feel", "film", "film_answer",
    "film_questions", "hear", "sound", "speak", "trace", "trace_questions", "watch",
    "BACKGROUNDS", "CATEGORIES", "COLORS", "KINDS", "Negative", "NotUnique", "NothingToAsk", "Object", "Pair",
    "Prompt", "Question", "RELATIONS", "SHAPES", "SIZES", "SPECS", "SPLITS", "STANDARD_KINDS", "STYLES",
    "Scene", "Spec", "Split", "TEXTURES", "UNKNOWN", "VOCABULARY", "answer", "answers", "biased_questions",
    "captions", "complement", "draw", "execute", "favourite", "negatives", "parse", "prompts", "questions",
    "read", "relations", "right", "sample", "satisfies", "say", "score", "split", "three_dials",
    "three_dials_best",
]
