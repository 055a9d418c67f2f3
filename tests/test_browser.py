"""The learner's way in a real browser: `mmcourse lab`, lesson 11, run it, move a slider by keyboard."""

import desk
import minicourse
from playwright.sync_api import expect

LESSON = "11_attention"


def test_run_lesson_11_and_move_a_slider(checkout, page):
    path = checkout / "notebooks" / f"{LESSON}.ipynb"
    before = path.read_bytes()
    with minicourse.lab(checkout, "11") as (_, said):
        desk.open_and_run(page, desk.address(said))
        _all_ran(page)
        _move_slider(page)
        _save(page, path)
        assert path.read_bytes() == before                         # it only ran
        assert page.outside == []
        assert "Nbgrader" not in page.locator(".lm-MenuBar-itemLabel").all_inner_texts()   # that is for a class on a hub


def _all_ran(page):
    """Wait for the last cell. One that fails stops the run and leaves empty prompts behind."""
    prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(node => node.textContent)"
    page.wait_for_function(f"{prompts}.includes('[*]:')", polling=100, timeout=10_000)
    page.wait_for_function(f"!{prompts}.includes('[*]:')", polling=500, timeout=300_000)
    failures = page.get_by_text("Traceback (most recent call last)").all_inner_texts()
    assert failures == []
    for number, prompt in enumerate(page.evaluate(prompts), 1):
        assert prompt in (f"[{number}]:", ""), f"code cell {number} did not run"    # "": its input is folded


def _save(page, path):
    before = path.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    for _ in range(100):
        if path.stat().st_mtime_ns != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"JupyterLab did not save {path.name}")


def _move_slider(page):
    """The picture is another one after a key press. (The widget puts a new element there.)"""
    explorer = page.locator(".mm-explorer").first
    picture, slider = explorer.locator("img"), explorer.get_by_role("slider").first
    before, start = picture.get_attribute("src"), slider.get_attribute("aria-valuenow")
    assert picture.get_attribute("alt")
    slider.focus()
    slider.press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before, timeout=10_000)
    assert slider.get_attribute("aria-valuenow") != start
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
