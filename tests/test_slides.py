"""Slides: what a lesson's notebook becomes, looked at in a browser."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from PIL import Image
from playwright.sync_api import sync_playwright

import mmcourse
from mmcourse import UsageError
from mmcourse.authoring import slides

ALT = 'A "square" where a < b & c'
FACTS = {"lesson": 11, "kind": "lesson", "title": "Fixture", "question": "Does it fit?", "minutes": 60,
         "objectives": ["see that $x$ is drawn", "read `code`"]}
LONG = "\n".join(["def answer(x):"] + [f"    x = x + {n:<2}".ljust(70) + "# (B, T, D) fits here" for n in range(23)] + ["    return x"])
LONGER = "\n\n".join("\n".join([f"def part_{n}(x):", "    y = x + 1".ljust(95) + "# shape (B, T)"] + ["    y = y + 1"] * 6)
                     for n in range(5))

# Everything of a slide that is visible must lie on it, above the line at its foot, and its blocks must not cover one another.
MEASURE = """() => {
  const faults = [];
  for (let i = 0; i < Reveal.getTotalSlides(); i++) {
    Reveal.slide(i);
    while (Reveal.availableFragments().next) Reveal.nextFragment();
    const slide = Reveal.getCurrentSlide(), foot = i ? 720 - 40 : 720;
    slide.querySelectorAll("details").forEach(answer => { answer.open = true; });
    for (const e of slide.querySelectorAll(".page *:not(mjx-assistive-mml *, mjx-assistive-mml)")) {
      const box = e.getBoundingClientRect();
      if (box.left < -1 || box.right > 1281 || box.top < -1 || box.bottom > foot + 1)
        faults.push(`slide ${i + 1} (${slide.querySelector("h1, h2").textContent}): ${e.localName} sticks out`);
    }
    const boxes = [...slide.querySelectorAll(".blocks > *")].map(e => e.getBoundingClientRect());
    boxes.forEach((a, n) => boxes.slice(n + 1).forEach(b => {
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        faults.push(`slide ${i + 1}: blocks cover one another`);
    }));
  }
  return [...new Set(faults)];
}"""


def png(width=800, height=500):
    image = Image.new("RGB", (width, height), "white")
    image.paste((0, 114, 178), (width // 4, height // 4, width // 2, height // 2))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def shown(data, alt=ALT):
    return v4.new_output("display_data", data=data, metadata={kind: {"alt": alt} for kind in data})


def text(source, kind, **show):
    return v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind, **show}})


def code(source, kind, *outputs, tags=()):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"slideshow": {"slide_type": kind}, "tags": list(tags)})


def said(words, name="stdout"):
    return v4.new_output("stream", name=name, text=words)


CELLS = [
    text("![badge](https://example.org/badge.svg)\n\n# 11 Fixture", "skip"),
    v4.new_code_cell("setup = 'unmarked cells stay out'"),
    text("## Look *there*\n\nA score $s_i$ and\n\n$$\\frac{QK^\\top}{\\sqrt{d}}$$\n\n- one\n- `two`", "slide", minutes=2),
    code("show(picture)", "-", shown({"image/png": png(), "text/plain": "<Figure>"})),
    text("Ask **first**.", "notes"),
    text("## A table\n\n| a | b |\n|---|---|\n| $\\boldsymbol{x}$ | 中文 |\n\n<details><summary>Answer</summary>\n\nIt is 7.\n\n</details>", "slide"),
    code(LONG, "subslide", said("the long one is done\n")),
    text("## Steps", "slide"),
    text("first step", "fragment"),
    text("second step", "fragment"),
    text("Said on both steps.", "notes"),
    text("## Pictures only\n\nThe code is hidden.", "slide"),
    code("hidden = True", "-", tags=["hide-input"], *[
        said("a warning", "stderr"), shown({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"}),
        shown({"application/vnd.jupyter.widget-view+json": {"model_id": "2"}, "image/png": png(400, 400)}, "drawn by a widget"),
        shown({"image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg' width='90' height='60'><circle r='20'/></svg>"}, "a circle")]),
    code("warns()", "subslide", said("only a warning", "stderr"), tags=["hide-input"]),
    code(LONGER, "slide"),
    code("1 / 0  # </script><script>alert(1)</script>", "slide", v4.new_output("error", ename="ZeroDivisionError", evalue="by zero")),
]
HEADINGS = ["Fixture", "Look there", "A table", "A table", "A table", "Steps", "Pictures only", "Pictures only", "Pictures only", "Pictures only"]


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
def context():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        program = program or playwright.chromium.executable_path
        assert Path(program).exists(), "No Chromium was found: install it (Debian: `apt install chromium`, else `playwright install chromium`)."
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_context(viewport={"width": 1280, "height": 720})
        browser.close()


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with one lesson of the cells given to it."""
    monkeypatch.setattr(slides, "root", lambda: tmp_path)
    return lambda cells, **facts: checkout(tmp_path, **{"11_fixture": lesson(cells, **facts)})


def open_deck(context, path, query=""):
    """The page of a deck that is laid out; page.requests and page.errors hold what it asked for and complained about."""
    page = context.new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: message.type in ("error", "warning") and page.errors.append(message.text))
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
    """What every deck owes: no network, no complaint, all mathematics and pictures drawn with alt text, everything on its slide."""
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.errors == []
    assert page.evaluate("Reveal.isReady()")
    assert page.evaluate("document.querySelectorAll('[data-mml-node=merror]').length") == 0
    assert page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).length") == 0
    assert page.evaluate("[...document.querySelectorAll('[data-fault]')].map(s => s.textContent.slice(0, 80) + s.dataset.fault)") == []
    assert page.evaluate(MEASURE) == []


def test_a_deck_is_sound_and_one_file(page, deck):
    sound(page)
    assert [path.name for path in deck.parent.iterdir()] == ["11_fixture.html"]
    assert deck.parent.name == "slides" and deck.stat().st_size < 3_000_000


def test_the_slides_stand_in_order_under_their_headings(page):
    assert page.evaluate("[...document.querySelectorAll('section')].map(s => s.querySelector('h1, h2').innerText)") == HEADINGS
    assert page.evaluate("Reveal.getTotalSlides()") == len(HEADINGS)
    body = page.locator(".slides").inner_text() + page.evaluate("document.querySelector('.slides').textContent")
    for gone in ("badge", "unmarked", "hidden = True", "a warning", "VBox", "<Figure>", "No description"):
        assert gone not in body
    for kept in ("Does it fit?", "60 minutes", "the long one is done", "ZeroDivisionError: by zero", "</script><script>alert"):
        assert kept in body


def test_something_is_to_be_seen(page):
    for number, least in ((0, 2.0), (1, 5.0), (6, 5.0)):
        page.evaluate(f"Reveal.slide({number}, 0, 9)")
        page.wait_for_timeout(300)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("L")
        inked = sum(picture.histogram()[:200]) / (1280 * 720)
        assert 100 * inked > least, f"slide {number + 1} is nearly blank"


def test_mathematics_is_drawn(page):
    assert page.evaluate("document.querySelectorAll('mjx-container svg').length") == 4
    assert "$" not in page.evaluate("document.querySelector('.slides').textContent")


def test_alt_text_reaches_the_page(page):
    assert page.evaluate("[...document.images].map(image => image.alt)") == [ALT, "drawn by a widget", "a circle"]


def test_code_is_large_and_wrapped_only_when_it_must(page):
    sizes = page.evaluate("[...document.querySelectorAll('.code pre, .output pre')].map(e => parseFloat(getComputedStyle(e).fontSize))")
    assert len(sizes) == 7 and min(sizes) >= 20
    wrapped = page.evaluate("[...document.querySelectorAll('.wraps')].map(e => e.textContent.trim().slice(0, 10))")
    assert wrapped and all(start.startswith("def part_") for start in wrapped)
    assert page.evaluate("[...document.querySelectorAll('.wraps')].map(e => e.textContent).join().match(/def part_/g).length") == 5


def test_an_output_comes_one_step_after_its_code(page):
    page.evaluate("Reveal.slide(1, 0, -1)")
    output = page.locator("section.present .output")
    assert page.locator("section.present .code").evaluate("e => getComputedStyle(e).visibility") == "visible"
    assert output.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    page.keyboard.press("ArrowRight")
    assert output.evaluate("e => getComputedStyle(e).visibility") == "visible"
    assert page.evaluate("Reveal.getIndices().h") == 1


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
    speaker.wait_for_function("document.querySelector('.speaker-controls-notes').innerText.includes('Said on both steps.')", timeout=15_000)
    assert speaker.locator(".speaker-controls-pace").is_visible()
    assert page.locator("aside.notes").first.is_visible() is False
    assert page.evaluate("document.querySelectorAll('section')[1].dataset.timing") == "120"
    assert page.evaluate("Reveal.getConfig().totalTime") == 3600
    speaker.close()
    page.close()


def test_print_gives_one_page_a_slide(context, deck):
    page = open_deck(context, deck, "?print-pdf")
    page.wait_for_selector(".pdf-page")
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == len(HEADINGS)
    assert page.evaluate("[...document.querySelectorAll('.fragment')].filter(e => getComputedStyle(e).visibility == 'hidden').length") == 0
    assert page.locator("details p").is_visible()
    page.close()


@pytest.mark.parametrize("cell, fault", [
    (text("## Too much\n\n" + "\n".join(f"- line {n}" for n in range(30)), "slide"), "px too high"),
    (text("## Too wide\n\n$$" + " + ".join(f"x_{{{n}}}" for n in range(60)) + "$$", "slide"), "px too wide"),
    (code("print(x)", "slide", said("word " * 60)), "px too wide"),
    (text("## Answer\n\n<details><summary>Answer</summary>\n\n" + "word " * 700 + "\n\n</details>", "slide"), "px too high"),
])
def test_a_slide_that_does_not_fit_is_found(context, course, tmp_path, cell, fault):
    course([cell])
    page = open_deck(context, slides.export([11])[0])
    assert any(fault in found for found in page.evaluate("[...document.querySelectorAll('[data-fault]')].map(s => s.dataset.fault)"))
    assert page.evaluate(MEASURE)
    page.close()


@pytest.mark.parametrize("numbers, sentence", [
    ([12], "There is no lesson 12: the built lessons are 11."),
    (["abc"], "There is no lesson abc"),
    ([21], "Lesson 21 is not built yet: run `mmcourse build 21` first."),
])
def test_a_lesson_that_is_not_there(course, tmp_path, numbers, sentence):
    course(CELLS)
    (tmp_path / "lessons" / "21_later").mkdir(parents=True)
    (tmp_path / "lessons" / "21_later" / "lesson.py").touch()
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
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [str(path) for path in written]


def test_importing_slides_is_light():
    check = "import sys, mmcourse.authoring.slides; assert not {'nbconvert', 'jupytext', 'nbformat'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_every_asset_is_listed_with_its_licence():
    listed = (slides.ASSETS / "ASSETS.md").read_text(encoding="utf-8")
    for path in slides.ASSETS.rglob("*.*"):
        assert path.name in listed, f"ASSETS.md does not name {path.name}"
    for licence in re.findall(r"`(\w+/LICENSE[^`]*)`", listed):
        assert (slides.ASSETS / licence).stat().st_size > 500
    for path in slides.ASSETS.rglob("*.[jc]s*"):
        content = path.read_text(encoding="utf-8")
        assert not re.search(r"@import|//(cdn|unpkg|fonts)\.", content), path


@pytest.mark.parametrize("path", sorted((mmcourse.root() / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_slides_of_every_built_lesson(context, tmp_path, path):
    deck, = slides.export([path.name[:2]], tmp_path)
    assert deck.stat().st_size < 6_000_000
    page = open_deck(context, deck)
    sound(page)
    assert page.evaluate("Reveal.getTotalSlides()") >= 10
    page.close()
