"""Accelerometers: every object carries one, and its trace says what the object does.

A sensor has three axes, as the picture has: x to the right, y down, z out of the picture, up from the ground; it reads
m/s^2 on a ground of 1 m x 1 m. On an object at rest it reads gravity, (0, 0, 9.81), and its own noise. Sliding adds
rumble, a bounce a kick of 60 ms away from the wall, shaking a fast swing in one direction; spinning end over end turns
gravity around. Where an object is not there (in a film) its sensor is off and reads 0.
"""

import numpy as np

from mmcourse.world.questions import Question
from mmcourse.world.scene import GRID, as_random, known
from mmcourse.world.video import FPS, Film, name_objects, way

ACTIVITIES = ("still", "slide", "bounce", "shake", "spin")
GRAVITY = 9.81
HISS, RUMBLE, KICK = 0.05, 0.6, 0.06  # noise of the sensor and of sliding (sigma, m/s^2), length of a kick (s)
SECONDS = 4  # of a scene's trace; a film's is as long as the film
