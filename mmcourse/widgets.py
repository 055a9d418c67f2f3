"""Interactive figures: a plain picture first, controls where somebody can move them. Works on ipywidgets 7.7 and 8."""

import inspect
import os
import sys

from mmcourse import show


def interactive():
    """Is there a person in front of controls? Not while notebooks are built, tested or marked."""
    return "ipykernel" in sys.modules and not os.environ.get("MMCOURSE_STATIC")


def explorer(draw, **controls):
    """Show `draw(**values)` -> (figure, alt text) with one control for each value.

    A control is a list of words (a menu), (lowest, highest, step) of whole or broken numbers (a slider) or a text (a line
    to type in); it starts at the default of `draw`'s argument. Without a person in front of it, the first picture is shown,
    and every control is tried at both ends, or with its text, so that a figure which breaks there is found when the lesson
    is built.
    """
    start = {name: value.default for name, value in inspect.signature(draw).parameters.items()}
    if not interactive():
        show.figure(*draw(**start))
        for name, choice in controls.items():
            for end in [choice] if isinstance(choice, str) else (choice[0], choice[-1 if isinstance(choice, list) else 1]):
                show.html(*draw(**{**start, name: end}))
        return
    import ipywidgets
    from IPython.display import display

    picture = ipywidgets.HTML(show.html(*draw(**start)))
    boxes = {name: _control(ipywidgets, name, choice, start[name]) for name, choice in controls.items()}

    def redraw(_):
        picture.value = show.html(*draw(**{name: box.value for name, box in boxes.items()}))

    for box in boxes.values():
        box.observe(redraw, names="value")
    panel = ipywidgets.VBox([*boxes.values(), picture])
    panel.add_class("mm-explorer")
    display(panel)


def _control(ipywidgets, name, choice, value):
    wide = {"style": {"description_width": "7em"}, "layout": ipywidgets.Layout(width="28em")}
    if isinstance(choice, list):
        return ipywidgets.Dropdown(options=choice, value=value, description=name, **wide)
    if isinstance(choice, str):
        return ipywidgets.Text(value=value, description=name, continuous_update=False, **wide)
    low, high, step = choice
    kind = ipywidgets.IntSlider if isinstance(value, int) else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=name, **wide)
