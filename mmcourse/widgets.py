"""Interactive figures: a plain picture first, controls where somebody can move them. Works on ipywidgets 7.7 and 8."""

import base64
import inspect
import io
import os
import sys
import time
from html import escape

from IPython.display import display
from PIL import Image

from mmcourse import show

SLOW = 0.1                                              # seconds: a longer wait is announced
# Two things that ipywidgets leaves out: JupyterLab must not take a control's arrow keys for its own (but still saves by
# Ctrl+S), and a slider's handle has no name.
KEYS = """addEventListener("keydown", ({key, target}) => {
  if (!target.closest?.(".mm-explorer")) return;
  target.toggleAttribute("data-lm-suppress-shortcuts", key.startsWith("Arrow"));
}, true);
addEventListener("focusin", ({target}) => {
  const slider = target.closest(".mm-explorer .widget-slider");
  if (slider) target.ariaLabel = slider.querySelector("label").textContent;
});"""


def interactive():
    """Is there a person in front of controls? Not while notebooks are built, tested or marked."""
    return "ipykernel" in sys.modules and not os.environ.get("MMCOURSE_STATIC")


def explorer(draw, **controls):
    """Show `draw(**values)` -> (figure, alt text) with one control for each value.

    A control is a list of words (a menu), (lowest, highest, step) of whole or broken numbers (a slider) or a text (a line
    to type in); it starts at the default of `draw`'s argument. A picture that takes longer than `SLOW` is announced by
    "thinking ..." above it. Without a person in front of it, the first picture is shown, and every control is tried at
    both ends, or with its text, so that a figure which breaks there is found when the lesson is built.
    """
    start = {name: value.default for name, value in inspect.signature(draw).parameters.items()}
    if not interactive():
        show.figure(*draw(**start))
        for name, choice in controls.items():
            for end in [choice] if isinstance(choice, str) else (choice[0], choice[-1 if isinstance(choice, list) else 1]):
                if end != start[name]:
                    show.html(*draw(**{**start, name: end}))
        return
    import ipywidgets
    from IPython.display import Javascript

    def redraw(_):
        start = time.perf_counter()
        note.value = "thinking ..." * (took[0] > SLOW)
        try:
            place.value = show.html(*draw(**{name: box.value for name, box in boxes.items()}))
        finally:
            note.value, took[0] = "", time.perf_counter() - start

    boxes = {name: _control(ipywidgets, name, choice, start[name]) for name, choice in controls.items()}
    note, place, took = ipywidgets.HTML(layout=ipywidgets.Layout(height="1.6em")), ipywidgets.HTML(), [0.0]
    redraw(None)
    for box in boxes.values():
        box.observe(redraw, names="value")
    panel = ipywidgets.VBox([*boxes.values(), note, place])
    panel.add_class("mm-explorer")
    display(panel, Javascript(KEYS))


def _control(ipywidgets, name, choice, value):
    wide = {"style": {"description_width": "7em"}, "layout": ipywidgets.Layout(width="28em")}
    if isinstance(choice, list):
        return ipywidgets.Dropdown(options=choice, value=value, description=name, **wide)
    if isinstance(choice, str):
        return ipywidgets.Text(value=value, description=name, continuous_update=False, **wide)
    low, high, step = choice
    kind = ipywidgets.IntSlider if isinstance(value, int) else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=name, **wide)


def atlas(fig, alt, columns, rows, links):
    """Show a figure, then close it, whose parts open pages: links is {(column, row): (address, name)}, row 0 at the top.

    JupyterLab shows it cut into columns x rows pictures, those with a link inside one (its sanitizer lets no image map
    through). Stored notebooks, and so GitHub, website and slides, show it whole.
    """
    if not interactive():
        return show.figure(fig, alt)
    whole = show.png(fig)
    picture, parts = Image.open(io.BytesIO(whole)), []
    width, height = picture.width // columns, picture.height // rows
    for row, column in ((row, column) for row in range(rows) for column in range(columns)):
        address, name = links.get((column, row), ("", "" if parts else alt))
        buffer, corner = io.BytesIO(), (column * width, row * height)
        picture.crop((*corner, corner[0] + width, corner[1] + height)).save(buffer, "PNG", optimize=True)
        tag, link = ("a", f' href="{escape(address)}"') if address else ("span", "")
        parts.append(f'<{tag}{link} style="float: left; width: {99.999 / columns:.3f}%"><img alt="{escape(name)}" '
                     f'style="display: block; width: 100%" '
                     f'src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"></{tag}>')
    display({"image/png": whole, "text/markdown": "".join(parts) + '<br clear="all">', "text/plain": alt}, raw=True,
            metadata={"image/png": {"alt": alt}})
