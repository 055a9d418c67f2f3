"""The website: `make site` on a copy of the course that has an address, looked at as files and in a browser."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup

import mmcourse
from mmcourse.authoring.notebook import notebook
from mmcourse.authoring.source import folders, read

ROOT = mmcourse.root()
LOADS = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src"}
OUTSIDE = re.compile(r"(https?:)?//")
NOTEBOOKS = sorted((*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*.ipynb")))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages."""
    copy = tmp_path_factory.mktemp("course")
    for path in ROOT.glob("[!.]*"):
        if path.is_file():
            shutil.copy(path, copy)
        elif path.name in ("docs", "notebooks", "exercises"):
            shutil.copytree(path, copy / path.name)
        elif path.name != "site":
            (copy / path.name).symlink_to(path)
    lessons = folders(ROOT)
    for path in NOTEBOOKS:
        kind, name = ("lesson", "lesson.py") if path.parent.name == "notebooks" else ("exercise", "exercises.py")
        source = read(ROOT / "lessons" / path.stem / name, ROOT)
        stored = json.loads(path.read_text(encoding="utf-8"))
        stored["cells"][0]["source"] = notebook(source, kind, "https://github.com/a/b", lessons).cells[0].source
        (copy / path.parent.name / path.name).write_text(json.dumps(stored), encoding="utf-8")
    made = subprocess.run(["make", "site", "-o", ".venv/all", f"BIN={Path(sys.executable).parent}"], cwd=copy,
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return copy / "site" / "html"


@pytest.fixture(scope="module")
def pages(site):
    """The pages by their paths."""
    found = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in site.rglob("*.html")}
    assert {f"{path.parent.name}/{path.stem}.html" for path in NOTEBOOKS} <= {str(path.relative_to(site)) for path in found}
    return found


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_pages_load_nothing_from_outside(site, pages):
    for path, page in pages.items():
        for tag in page.find_all(LOADS):
            assert not OUTSIDE.match(tag.get(LOADS[tag.name], "")), f"{path} loads {tag}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_every_link_inside_is_alive(pages):
    places = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    for path, page in pages.items():
        for tag in page.find_all(["a", "link", "script", "img"]):
            link, anchor = urldefrag(tag.get("href") or tag.get("src") or "")
            if not link.startswith(("data:", "mailto:")) and not OUTSIDE.match(link):
                target = (path.parent / unquote(link).split("?")[0]).resolve() if link else path
                assert target.exists(), f"{path} has a dead link: {tag}"
                assert not anchor or unquote(anchor) in places.get(target, ()), f"{path} points to no place: {tag}"


def test_every_page_leads_to_colab(site, pages):
    for path in NOTEBOOKS:
        page, name = pages[site / path.parent.name / f"{path.stem}.html"], f"{path.parent.name}/{path.name}"
        buttons = [tag["href"] for tag in page.find_all("a", string="Open in Colab")]
        assert buttons == [f"https://colab.research.google.com/github/a/b/blob/main/{name}"]


def test_outputs_are_those_that_are_stored(site, pages):
    for path in NOTEBOOKS:
        page = pages[site / path.parent.name / f"{path.stem}.html"]
        outputs = [output for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
                   for output in cell.get("outputs", [])]
        alts = [output["metadata"]["image/png"]["alt"] for output in outputs if "image/png" in output.get("data", {})]
        assert [tag["alt"] for tag in page.article.find_all("img")] == alts and all(alts)
        words = page.article.get_text()
        printed = ["".join(output["text"]) for output in outputs if output.get("name") == "stdout"]
        assert all(line.strip() in words for text in printed for line in text.splitlines()), path


@pytest.mark.parametrize("name", ["11_attention", "33_diffusion"])
def test_mathematics_is_drawn(page, pages, site, address, name):
    formulas = len(pages[site / "notebooks" / f"{name}.html"].find_all(class_="math"))
    page.goto(f"{address}/notebooks/{name}.html")
    page.wait_for_function(f"document.querySelectorAll('mjx-container > svg').length == {formulas}", timeout=30_000)
    assert formulas > 10 and page.locator("[data-mml-node=merror], mjx-merror").count() == 0
    assert page.outside == []


def test_a_word_of_a_lesson_is_found(page, address):
    page.goto(f"{address}/index.html")
    page.get_by_placeholder("Search").first.fill("temperature")
    page.keyboard.press("Enter")
    page.locator("#search-results a[href*='notebooks/13_language_model.html']").first.wait_for(timeout=30_000)
    assert page.outside == []
