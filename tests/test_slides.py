"""Slides: what a lesson's notebook becomes, looked at in a browser."""

import base64
import io
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4
from PIL import Image

from mmcourse import UsageError, root
from mmcourse.authoring import slides

ALT = 'A "square" where a < b & c'
FACTS = {"lesson": 11, "kind": "lesson", "title": "Fixture", "question": "Does it *fit*?", "minutes": 60,
         "objectives": ["see that $x$ is drawn", "read `code`"]}
# 25 lines of 90 characters, the most that a slide must hold; and five paragraphs, each with a line of 110.
LONG = "\n".join(["def answer(x):"] + [f"    x = x + {n:<57}# (B, T, D) fits here" for n in range(23)]
                 + ["    return x"])
LONGER = "\n\n".join("\n".join([f"def part_{n}(x):", "    y = x + 1".ljust(95) + "# shape (B, T)"]
                               + ["    y = y + 1"] * 6) for n in range(5))

FAULTS = "[...document.querySelectorAll('[data-fault]')].map(s => `${s.innerText}: ${s.dataset.fault}`)"
# Everything of a slide that is visible, letters too, must lie on it and above the line at its foot, and its
# blocks must not cover one another. Measured anew here, slide by slide as shown, not asked of deck.js.
MEASURE = """() => {
  const faults = [];
  for (let i = 0; i < Reveal.getTotalSlides(); i++) {
    Reveal.slide(i);
    while (Reveal.availableFragments().next) Reveal.nextFragment();
    const slide = Reveal.getCurrentSlide(), foot = i ? 720 - 40 : 720;
    slide.querySelectorAll("details").forEach(answer => { answer.open = true; });
    const page = slide.querySelector(".page"), heading = page.querySelector("h1, h2");
    const name = `slide ${i + 1} (${heading.innerText})`;
    const range = document.createRange();
    for (const e of page.querySelectorAll("*:not(mjx-assistive-mml *, mjx-assistive-mml)")) {
      range.selectNodeContents(e);
      const letters = e.closest("mjx-container") ? [] : range.getClientRects();
      for (const box of [e.getBoundingClientRect(), ...letters])
        if (box.left < -1 || box.right > 1281 || box.top < -1 || box.bottom > foot + 1)
          faults.push(`${name}: ${e.localName} sticks out`);
    }
    const boxes = [...page.querySelectorAll(".blocks > *")].map(e => e.getBoundingClientRect());
    boxes.forEach((a, n) => boxes.slice(n + 1).forEach(b => {
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        faults.push(`${name}: blocks cover one another`);
    }));
  }
  return [...new Set(faults)];
}"""


def png(width=800, height=500):
    image = Image.new("RGB", (width, height), "white")
    image.paste((0, 114, 178), (width // 8, height // 8, width * 7 // 8, height * 7 // 8))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def shown(data, alt=ALT):
    return v4.new_output("display_data", data=data, metadata={kind: {"alt": alt} for kind in data})


def text(source, kind, **show):
    return v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind, **show}})


def code(source, kind, *outputs, tags=()):
    metadata = {"slideshow": {"slide_type": kind}, "tags": list(tags)}
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def said(words, name="stdout"):
    return v4.new_output("stream", name=name, text=words)


def widget(**data):
    return {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"} | data


CIRCLE = "<svg xmlns='http://www.w3.org/2000/svg' width='90' height='60'><circle cx='45' r='30'/></svg>"
CELLS = [
    text("![badge](https://example.org/badge.svg)\n\n# 11 Fixture", "skip"),
    v4.new_code_cell("setup = 'unmarked cells stay out'"),
    text("## Look *there*\n\nA score $s_i$ and\n\n$$\\frac{QK^\\top}{\\sqrt{d}}$$\n\n- one\n- `two`", "slide",
         minutes=2),
    code("show(picture)", "-", shown({"image/png": png(), "text/plain": "<Figure>"})),
    text("Ask **first**.", "notes"),
    text("## A table\n\n| a | b |\n|---|---|\n| $\\boldsymbol{x}$ | 中文 |\n\n"
         "<details><summary>Answer</summary>\n\nIt is 7.\n\n</details>", "slide"),
    code(LONG, "subslide", said("the long one is done\n")),
    text("## Steps", "slide"),
    text("Said on both steps.", "notes"),
    text("first step", "fragment"),
    text("second step", "fragment"),
    text("## Pictures only\n\nThe code is hidden.", "slide"),
    code("hidden = True", "-", said("a warning", "stderr"), shown(widget()),
         shown(widget(**{"image/png": png(400, 400)}), "drawn by a widget"),
         shown({"image/svg+xml": CIRCLE}, "a circle"), tags=["hide-input"]),
    code("warns()", "subslide", said("only a warning", "stderr"), tags=["hide-input"]),
    text("## A part", "slide"),
    text("Notes of the part.", "notes"),
    code(LONGER, "subslide"),
    code("1 / 0  # </script><script>alert(1)</script>", "subslide",
         v4.new_output("error", ename="ZeroDivisionError", evalue="by zero")),
]
HEADINGS = ["Fixture", "Look there", *3 * ["A table"], "Steps", "Pictures only", *4 * ["A part"]]


def checkout(folder, **notebooks):
    """A folder like the course's, with these notebooks built."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    return folder


def lesson(cells, **facts):
    state = {"application/vnd.jupyter.widget-state+json": {"version_major": 2}}
    return v4.new_notebook(cells=cells, metadata={"mmcourse": FACTS | facts, "widgets": state})


@pytest.fixture(scope="module")
def context(browser):
    return browser.new_context(viewport={"width": 1280, "height": 720})


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with one lesson of the cells given to it."""
    monkeypatch.setattr(slides, "root", lambda: tmp_path)
    return lambda cells, **facts: checkout(tmp_path, **{"11_fixture": lesson(cells, **facts)})


def open_deck(context, path, query=""):
    """The page of a deck, laid out. page.requests and page.errors: what it asked for and complained about."""
    page = context.new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda line: line.type in ("error", "warning") and page.errors.append(line.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(path.as_uri() + query)
    page.wait_for_selector(".reveal.laid-out.ready", timeout=20_000)
    return page


@pytest.fixture(scope="module")
def deck(tmp_path_factory):
    folder = checkout(tmp_path_factory.mktemp("course"), **{"11_fixture": lesson(CELLS)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slides, "root", lambda: folder)
        return slides.export([11])[0]


@pytest.fixture(scope="module")
def page(context, deck):
    page = open_deck(context, deck)
    yield page
    page.close()


def sound(page):
    """What every deck owes: no network, no complaint, formulas and pictures drawn, nothing sticks out."""
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.errors == []
    assert page.evaluate("Reveal.isReady()")
    assert page.evaluate("document.querySelectorAll('[data-mml-node=merror]').length") == 0
    assert page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt)") == []
    assert page.evaluate(FAULTS) == []
    assert page.evaluate(MEASURE) == []


def test_a_deck_is_sound_and_one_file(page, deck):
    sound(page)
    assert [path.name for path in deck.parent.iterdir()] == ["11_fixture.html"]
    assert deck.parent.name == "slides" and deck.stat().st_size < 3_000_000


def test_the_slides_stand_in_order_under_their_headings(page):
    assert [words.strip() for words in page.locator("h1, h2").all_text_contents()] == HEADINGS
    assert page.evaluate("Reveal.getTotalSlides()") == len(HEADINGS)
    body = page.evaluate("document.querySelector('.slides').textContent")
    for gone in ("badge", "unmarked", "hidden = True", "a warning", "VBox", "<Figure>"):
        assert gone not in body
    for kept in ("Does it fit?", "60 minutes", "the long one is done", "Error: by zero", "</script><script>"):
        assert kept in body


def test_something_is_to_be_seen(page):
    for number, least in ((0, 1.0), (1, 4.0), (6, 4.0)):
        page.evaluate(f"Reveal.slide({number}, 0, 9)")
        page.wait_for_timeout(300)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("L")
        inked = sum(picture.histogram()[:200]) / (1280 * 720)
        assert 100 * inked > least, f"slide {number + 1} is nearly blank"


def test_printed_lines_take_their_code_along(context, course):
    prose, lines = "A sentence of six words stands here. " * 25, "\n".join(f"x{n} = {n:<60}# (B, T)" for n in range(10))
    parts, printed = f"{lines}\n\n{lines}\n\nprint('last')", said("six words that are printed here\n" * 9)
    course([text(f"## One\n\n{prose}", "slide"), code(lines, "-", printed),
            text("## Two", "slide"), code(parts, "-", printed)])
    page = open_deck(context, slides.export([11])[0])
    shown = page.evaluate("""[...document.querySelectorAll('.blocks')].map(
        blocks => [...blocks.children].map(block => block.textContent.trim().slice(0, 2)).join(' + '))""")
    assert shown == ["A ", "x0 + si", "x0", "pr + si"]
    sound(page)
    page.close()


def test_mathematics_is_drawn(page):
    formulas = page.locator("mjx-container")
    assert formulas.count() == 4
    assert formulas.locator("svg path[d]").count() >= 8 and formulas.locator("mjx-assistive-mml").count() == 4
    assert "$" not in page.evaluate("document.querySelector('.slides').textContent")


def test_alt_text_reaches_the_page(page):
    assert page.evaluate("[...document.images].map(i => i.alt)") == [ALT, "drawn by a widget", "a circle"]


def test_code_is_large_and_wrapped_only_when_it_must(page):
    size = "e => parseFloat(getComputedStyle(e).fontSize)"
    sizes = page.evaluate(f"[...document.querySelectorAll('.page pre')].map({size})")
    assert len(sizes) == 8 and min(sizes) >= 20
    assert page.locator(".wraps").count() == 3
    wrapped = "".join(page.locator(".wraps").all_text_contents())
    assert [int(n) for n in re.findall(r"part_(\d)", wrapped)] == [0, 1, 2, 3, 4]
    assert wrapped.split() == LONGER.split()


def test_an_output_comes_one_step_after_its_code(page):
    page.evaluate("Reveal.slide(1, 0, -1)")
    output = page.locator("section.present .output")
    assert page.locator("section.present .code").evaluate("e => getComputedStyle(e).visibility") == "visible"
    assert output.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    page.keyboard.press("ArrowRight")
    assert output.evaluate("e => getComputedStyle(e).visibility") == "visible"
    assert page.evaluate("Reveal.getIndices().h") == 1


def test_what_the_room_should_predict_comes_one_step_later(course):
    def steps(prose):
        course([text(f"## A table\n\n{prose}", "slide"), code("draw()", "-", said("42\n"), tags=["hide-input"])])
        notebook = slides._read(slides._notebooks([11])[0])
        return [cell.output_step for cell in slides._slides(notebook)[1]["cells"]]

    assert steps("Look at it.") == [0, 0]
    assert steps("Predict: how many?") == [0, 1]


def test_fragments_come_one_by_one(page):
    page.evaluate("Reveal.slide(5, 0, -1)")
    steps = page.locator("section.present .text")
    seen = [steps.evaluate_all("all => all.map(e => getComputedStyle(e).visibility)")]
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        seen.append(steps.evaluate_all("all => all.map(e => getComputedStyle(e).visibility)"))
    assert seen == [["hidden", "hidden"], ["visible", "hidden"], ["visible", "visible"]]


def test_an_answer_is_closed_until_it_is_clicked(context, deck):
    page = open_deck(context, deck)
    page.evaluate("Reveal.slide(2)")
    answer = page.locator("section.present details")
    assert not answer.locator("p").is_visible()
    answer.locator("summary").click()
    assert answer.locator("p").is_visible()
    page.close()


def test_the_speaker_sees_the_notes_from_the_first_step_and_the_time(context, deck):
    page = open_deck(context, deck)
    page.evaluate("Reveal.slide(5)")
    with context.expect_page() as opened:
        page.keyboard.press("s")
    speaker = opened.value
    speaker.wait_for_selector(".speaker-controls-notes :text('Said on both steps.')", timeout=15_000)
    speaker.wait_for_selector(".pacing", state="visible", timeout=15_000)
    assert not page.locator("section.present aside.notes").is_visible()
    speaker.close()
    page.close()


def test_notes_and_minutes_stay_with_their_slides(page):
    notes = [words.strip() for words in page.locator("aside.notes").all_text_contents()]
    assert notes == ["Ask first.", "Said on both steps.", *3 * ["Notes of the part."]]
    title, said, *others = page.evaluate("[...document.querySelectorAll('section')].map(s => s.dataset.timing)")
    assert (title, said) == (None, "120")
    assert all(10 <= int(seconds) <= 120 for seconds in others) and len(set(others)) > 3     # by what stands there
    assert page.evaluate("Reveal.getConfig().totalTime") == 3600


def test_print_gives_one_page_a_slide(context, deck):
    page = open_deck(context, deck, "?print-pdf")
    page.wait_for_selector(".pdf-page")
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == len(HEADINGS)
    seen = "[...document.querySelectorAll('.fragment')].map(e => getComputedStyle(e).visibility)"
    assert set(page.evaluate(seen)) == {"visible"}
    assert page.locator("details p").is_visible()
    page.close()


@pytest.mark.parametrize("cell, fault", [
    (text("## Too much\n\n" + "\n".join(f"- line {n}" for n in range(30)), "slide"), "px too high"),
    (text("## Too wide\n\n$$" + " + ".join(f"x_{{{n}}}" for n in range(60)) + "$$", "slide"), "px too wide"),
    (code("print(x)", "slide", said("word " * 60)), "px too wide"),
    (text("<details><summary>Answer</summary>\n\n" + "word " * 700 + "\n\n</details>", "slide"), "too high"),
])
def test_a_slide_that_does_not_fit_is_found(context, course, cell, fault):
    course([cell])
    page = open_deck(context, slides.export([11])[0])
    assert any(fault in found for found in page.evaluate(FAULTS))
    assert page.evaluate(MEASURE)
    page.close()


@pytest.mark.parametrize("numbers, sentence", [
    ([12], "There is no lesson 12; the built lessons are: 11."),
    ([21], "Lesson 21 is not built: run `mmcourse build 21` first."),
])
def test_a_lesson_that_is_not_there(course, tmp_path, numbers, sentence):
    course(CELLS)
    (tmp_path / "lessons" / "21_later" / "lesson.py").mkdir(parents=True)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        slides.export([11] + numbers)
    assert not (tmp_path / "slides").exists()


def test_nothing_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "root", lambda: tmp_path)
    with pytest.raises(UsageError, match="No lesson is built yet"):
        slides.export("all")


@pytest.mark.parametrize("content, sentence", [
    ("{not json", "cannot be read as a notebook"),
    ("[]", "cannot be read as a notebook"),
    (nbformat.writes(v4.new_notebook()), "does not say its lesson, minutes, objectives, question, title"),
    (nbformat.writes(lesson(CELLS[:2])), "shows no cell on a slide"),
])
def test_a_notebook_that_cannot_be_shown(course, tmp_path, content, sentence):
    (course(CELLS) / "notebooks" / "11_fixture.ipynb").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=sentence):
        slides.export([11])
    assert not (tmp_path / "slides").exists()


def test_a_folder_that_cannot_be_written(course, tmp_path):
    course(CELLS)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written.*--output"):
        slides.export([11], tmp_path / "file" / "deck")


def test_an_old_deck_stays_when_writing_fails(course, tmp_path, monkeypatch):
    course(CELLS)
    old = tmp_path / "decks" / "11_fixture.html"
    old.parent.mkdir()
    old.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UsageError, match="No space left on device"):
        slides.export("all", old.parent)
    assert [path.name for path in old.parent.iterdir()] == [old.name] and old.read_text() == "old"


def test_all_lessons_in_order(course, tmp_path, capsys):
    checkout(course(CELLS), **{"01_first": lesson(CELLS[2:3], lesson=1)})
    written = slides.export("all", tmp_path / "a" / "b")
    assert [path.name for path in written] == ["01_first.html", "11_fixture.html"]
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == list(map(str, written))


def test_importing_slides_is_light():
    check = "import sys, mmcourse.authoring.slides; print({'nbconvert', 'nbformat'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"


def test_a_script_cannot_end_the_page_it_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "ASSETS", tmp_path)
    (tmp_path / "a.js").write_text("let a = '</script>', b = '</SCRIPT >';")
    assert slides._asset("a.js") == r"let a = '<\/script>', b = '<\/SCRIPT >';"


def test_every_asset_is_listed_with_its_licence():
    listed = (slides.ASSETS / "ASSETS.md").read_text(encoding="utf-8")
    for path in slides.ASSETS.rglob("*.*"):
        assert path.name in listed + "ASSETS.md", f"ASSETS.md does not name {path.name}"
    for licence in re.findall(r"`(\w+/LICENSE[^`]*)`", listed):
        assert (slides.ASSETS / licence).stat().st_size > 500
    for path in slides.ASSETS.rglob("*.[jc]s*"):
        content = path.read_text(encoding="utf-8")
        assert not re.search(r"@import|//(cdn|unpkg|fonts)\.", content), path


@pytest.mark.parametrize("path", sorted(root().glob("notebooks/*.ipynb")), ids=lambda one: one.stem)
def test_the_slides_of_every_built_lesson(context, tmp_path, path):
    deck, = slides.export([int(path.name[:2])], tmp_path)
    assert deck.stat().st_size < 6_000_000
    page = open_deck(context, deck)
    sound(page)
    assert page.evaluate("Reveal.getTotalSlides()") >= 10
    page.close()
