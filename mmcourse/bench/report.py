"""The results of `mmcourse bench` as tables in Markdown, and as one picture."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmcourse import show


def rounded(value):
    """A rate to read: 12,345 or 123 or 1.2."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def spread(numbers, form=".2f"):
    """The median and the quartiles: 1.33 (1.26 to 1.49)."""
    return f"{numbers['median']:{form}} ({numbers['low']:{form}} to {numbers['high']:{form}})"


def both(row, key, form):
    return f"{form(row[key]['ours'])} / {form(row[key]['peer'])}"


def megabytes(count):
    return f"{count / 1e6:.0f}"


def training(part):
    yield "Training step", "Library", "Ours / theirs", "Times as fast", "Memory, MB", "Share of peak"
    for row in part["rows"]:
        yield (row["name"], row['peer'], f"{both(row, 'rate', rounded)} {row['unit']}", spread(row["ratio"]),
               both(row, "memory", megabytes), both(row, "share_of_peak", "{:.0%}".format))


def generation(part):
    yield "At work", "Library", "Ours / theirs", "Times as fast"
    for row in part["rows"]:
        yield row["name"], row['peer'], f"{both(row, 'rate', rounded)} {row['unit']}", spread(row["ratio"])


def quality(part):
    yield "To reach", "Ours", "The library's model, AdamW", "Times as fast"
    for row in part["rows"]:
        curves = part["curves"][row["name"].split(":")[0]]
        best = {who: max(point["score"] for point in points) for who, points in curves.items()}
        times = (f"{row[who]['seconds']:,.0f} s, {row[who]['samples']:,} samples" if row[who]
                 else f"not reached: {best[who]:.0%} at most" for who in ("ours", "peer"))
        yield row["name"], *times, f"{row['ratio']:.2f}" if row["ratio"] else "-"


def growth(part):
    yield "Time over", "From", "To", "Exponent", "Expected", "Memory's exponent"
    for row in part["rows"]:
        known = f"{row['bytes_exponent']:.2f}" if "bytes" in row else ""
        first, *_, last = (f"{value}: {seconds:.3f} s" for value, seconds in zip(row["values"], row["seconds"]))
        yield row["name"], first, last, spread(row["exponent"]), f"{row['expected']:.2f}", known


def cost(part):
    yield "Cost", "Seconds"
    for row in part["rows"]:
        yield row["name"], f"{row['seconds']:.0f}"


def summary(name, part):
    """One sentence on a part."""
    if name == "training":
        return (f"Geometric mean of the ratios: {part['geometric_mean']:.2f}. Large products of matrices: "
                f"{part['matmul_peak'] / 1e9:.0f} GFLOP/s.")
    if name == "growth":
        two = part["two_processes"]
        return f"Two processes (gloo), cores: {two['cores']}: {spread(two['efficiency'], '.0%')} of twice the speed of one."
    if name == "cost":
        late = ", ".join(part["too_slow"]) or "none"
        return f"{part['tests']:,} tests in {part['whole'] / 60:.1f} minutes. Lessons over 90 seconds: {late}."
    return ""


def where(part):
    facts = part["where"]
    return (f"{facts['processor']}, threads: {facts['threads']}, {facts['clock']}, torch {facts['torch']}, transformers "
            f"{facts['transformers']}, diffusers {facts['diffusers']}, {facts['date']}"
            + (", a smoke test: its numbers mean nothing" if part["smoke"] else ""))


def table(name, part):
    """A part's rows as a table in Markdown, a list of lines."""
    header, *rows = {"training": training, "generation": generation, "quality": quality, "growth": growth,
                     "cost": cost}[name](part)
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def text(results):
    """All of it, to read."""
    parts = [[where(part), "", *table(name, part), "", summary(name, part)] for name, part in results.items()]
    return "\n\n".join("\n".join(lines).strip() for lines in parts)


# ---- the picture

def bars(ax, name, part):
    """How many times as fast, with quartiles; the line is where both are alike."""
    rows = part["rows"][::-1]
    for y, ratio in enumerate(row["ratio"] for row in rows):
        ax.barh(y, ratio["median"], color=show.ACCENT if ratio["median"] > 0.995 else show.CYCLE[1], height=0.6)
        ax.plot((ratio["low"], ratio["high"]), (y, y), color=show.INK, linewidth=1.5)
        ax.text(max(ratio["high"], 1) + 0.04, y, f"{ratio['median']:.2f}", va="center", fontsize=9)
    ax.axvline(1, color=show.INK, linewidth=1)
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
    ax.set_title({"training": "A training step", "generation": "At work"}[name] + ": times as fast as the library")
    ax.set_xlim(0, max(row["ratio"]["high"] for row in rows) + 0.35)


def curves(ax, name, part):
    """The held-out scores of each task over its seconds, ours drawn through and the library's model dashed."""
    for color, (task, points) in zip(show.CYCLE, part["curves"].items()):
        for who, style in (("ours", "-"), ("peer", "--")):
            ax.plot([point["seconds"] for point in points[who]], [point["score"] for point in points[who]], style,
                    color=color, label=f"{task}: {'ours' if who == 'ours' else 'plain'}")
    ax.set_title("Held-out score over training")
    ax.set_xscale("log"), ax.minorticks_off(), ax.set_xticks((10, 100, 1000), ("10", "100", "1,000"))
    ax.set_xlabel("seconds of training"), ax.set_ylabel("score")
    ax.legend(fontsize=8, ncols=3, loc="upper right", bbox_to_anchor=(1, -0.22))


def lines(ax, name, part):
    """Time over size, both in multiples of the smallest."""
    for color, row in zip(show.CYCLE, [row for row in part["rows"] if "step" in row["name"]]):
        over = [value / row["values"][0] for value in row["values"]]
        ax.loglog(over, [one / row["seconds"][0] for one in row["seconds"]], "o-", color=color, markersize=4,
                  label=f"{row['name']}: {row['exponent']['median']:.2f}, expected {row['expected']:.2f}")
    ax.set_title("How a step's time grows, with its exponent")
    ax.set_xlabel("times as much"), ax.set_ylabel("times as long")
    ax.minorticks_off()
    ax.set_xticks((1, 2, 4, 8), (1, 2, 4, 8)), ax.set_yticks((1, 2, 5, 10, 20), (1, 2, 5, 10, 20))
    ax.set_ylim(top=40), ax.legend(fontsize=8)


def picture(results):
    """The picture as PNG, bytes; None when there is nothing to draw."""
    import matplotlib.pyplot as plt

    panels = {"training": bars, "generation": bars, "quality": curves, "growth": lines}
    panels = [(name, draw) for name, draw in panels.items() if name in results]
    if not panels:
        return None
    with plt.rc_context(show.STYLE):
        fig, buffer = Figure(figsize=(7, 3.2 * len(panels)), layout="constrained"), io.BytesIO()
        FigureCanvasAgg(fig)
        for ax, (name, draw) in zip(fig.subplots(len(panels), squeeze=False)[:, 0], panels):
            draw(ax, name, results[name])
        fig.savefig(buffer, format="png")
    return buffer.getvalue()
