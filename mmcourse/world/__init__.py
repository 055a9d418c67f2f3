"""One small world of shapes: scenes, their pictures, sentences, questions, and an oracle that reads pictures back."""

from mmcourse.world.captions import STYLES, Negative, captions, negatives
from mmcourse.world.drawing import draw
from mmcourse.world.language import VOCABULARY, answer, parse, satisfies, say
from mmcourse.world.programs import NotUnique, execute
from mmcourse.world.scene import (BACKGROUNDS, COLORS, SHAPES, SIZES, SPECS, TEXTURES, Object, Scene, Spec, sample)
from mmcourse.world.questions import KINDS, STANDARD_KINDS, Question, answers, questions
