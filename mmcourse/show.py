"""One look for every figure of the course: white ground, few lines, titles that say what to see, alt text always."""

import base64
import io
import textwrap
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from PIL import Image

INK, ACCENT, QUIET = "#222222", "#0072B2", "#9A9A9A"
CYCLE = [ACCENT, "#D55E00", "#009E73", "#CC79A7", "#E69F00", INK]      # Okabe and Ito (2008): safe for the colour-blind
STYLE = {
    "figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white",
    "figure.dpi": 100, "savefig.dpi": 100, "font.size": 11, "axes.titlesize": 12, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": QUIET, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "text.color": INK, "axes.prop_cycle": plt.cycler(color=CYCLE),
    "lines.linewidth": 2, "legend.frameon": False, "image.cmap": "cividis", "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,                            # inches: with less, pictures' titles lose their heads
}
SHADE = ListedColormap([(0.1, 0.1, 0.1, a) for a in np.linspace(0.55, 0, 256)], name="shade")   # dark to clear


def style():
    """Use the course's matplotlib style from here on."""
    plt.rcParams.update(STYLE)


def png(fig):
    """The figure as the bytes of a small PNG of 256 colors; it is closed."""
    buffer, small = io.BytesIO(), io.BytesIO()
    fig.savefig(buffer, format="png")
    plt.close(fig)
    Image.open(buffer).convert("RGB").quantize(256).save(small, format="png", optimize=True)   # a third of the bytes
    return small.getvalue()


def figure(fig, alt):
    """Show a matplotlib figure with its alt text (one sentence that says what a reader would see), then close it."""
    display({"image/png": png(fig), "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def html(fig, alt):
    """The figure as one <img> with its alt text, for widgets that redraw themselves: made quickly, not kept small."""
    canvas, buffer = FigureCanvasAgg(fig), io.BytesIO()
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(buffer, "PNG", compress_level=1)
    plt.close(fig)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


def panel(ax, picture, title="", cmap=None):
    """One picture in its axes: no ticks, a thin frame, a title above. picture: PIL image or array."""
    height, width = np.asarray(picture).shape[:2]
    ax.imshow(picture, cmap=cmap)
    ax.axis("off")
    ax.add_patch(plt.Rectangle((-0.5, -0.5), width, height, fill=False, color=QUIET, linewidth=0.8, clip_on=False))
    ax.set_title(title, fontsize=10)


def pictures(pictures, captions, alt, columns=4, side=1.9, title=None):
    """Show pictures in a grid, each with its sentence below. alt says what there is to see."""
    rows, columns = -(-len(pictures) // columns), min(columns, len(pictures))
    fig, axes = plt.subplots(rows, columns, figsize=(columns * (side + 0.2), rows * (side + 0.65)), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, caption in zip(axes.flat, pictures, captions):
        panel(ax, picture)
        ax.set_title(wrapped(caption, int(side * 13)), y=0, pad=-4, va="top", loc="center", fontsize=9)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure(fig, alt)


def wrapped(text, width):
    """The text in lines of at most `width` letters."""
    return "\n".join(textwrap.wrap(text, width))


def look(ax, image, weights, title=""):
    """Draw a picture with attention as light on it: what gets no weight lies in the dark.

    image: PIL image or (H, W, 3) array; weights: (h, w) array over a grid of cells that covers the picture.
    """
    height, width = np.asarray(image).shape[:2]
    weights = np.asarray(weights, dtype=float)
    panel(ax, image, title)
    ax.imshow(weights / max(weights.max(), 1e-9), cmap=SHADE, extent=(-0.5, width - 0.5, height - 0.5, -0.5),
              vmin=0, vmax=1)


def label(ax, x, y, text, color=None):
    """A curve's name, written above its right end (x, y) in place of a legend."""
    ax.annotate(text, (x, y), xytext=(-2, 7), textcoords="offset points", ha="right", color=color or INK,
                annotation_clip=False)


def matrix(ax, values, rows=None, columns=None, title="", numbers=True, vmax=1.0):
    """A small matrix as coloured squares with its numbers: rows are queries, columns are keys."""
    values = np.asarray(values, dtype=float)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=vmax, aspect="auto")
    ax.set_xticks(range(values.shape[1]), columns if columns is not None else range(values.shape[1]))
    ax.set_yticks(range(values.shape[0]), rows if rows is not None else range(values.shape[0]))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    if numbers:
        for (i, j), value in np.ndenumerate(values):
            ax.text(j, i, f"{value:.2f}".removeprefix("0") if value < 1 else f"{value:g}", ha="center", va="center",
                    fontsize=9, color="white" if value > 0.55 * vmax else INK)
