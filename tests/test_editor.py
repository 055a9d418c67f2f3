"""The scene editor: what it does to a scene, what it says of it, and all of that in a real browser."""

import time
from itertools import combinations
from statistics import median

import desk
import minicourse
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from mmcourse import editor, world
from mmcourse.world import Object, Scene
from mmcourse.world.scene import EDGE, GAP, GRID

RED = Object("circle", "red", "large", x=0.25, y=0.25)
BLUE = Object("square", "blue", "small", x=0.75, y=0.75)
LOOK = {"shape": "star", "color": "green", "size": "small"}


@pytest.fixture
def board():
    return editor.Board(Scene([RED, BLUE]))


def is_right(board):
    """What the board shows is true of its scene, and its picture shows the scene."""
    view = board.view()
    assert all(world.satisfies(board.scene, caption) for caption in view["captions"])
    assert all(world.answer(board.scene, text) == answer for text, answer in view["questions"])
    assert view["read"] == "yes"
    for a, b in combinations(board.scene, 2):
        x0, y0, x1, y1 = (side + way * GAP / GRID for side, way in zip(a.box, (-1, -1, 1, 1)))
        assert b.box[0] >= x1 or b.box[2] <= x0 or b.box[1] >= y1 or b.box[3] <= y0, f"{a} and {b} overlap"
    assert all(EDGE / GRID <= side <= 1 - EDGE / GRID for thing in board.scene for side in thing.box)
    return view


def test_place_move_change_and_remove(board):
    before = is_right(board)
    board.do("place", x=0.5, y=0.5, **LOOK)
    assert board.things[2] == Object("star", "green", "small", x=0.5, y=0.5)
    assert board.said == "Added a small green star."
    board.do("move", key=2, x=0.75, y=0.25)
    assert board.things[2] == Object("star", "green", "small", x=0.75, y=0.25)
    board.do("change", key=2, color="yellow", size="large")
    assert board.things[2] == Object("star", "yellow", "large", x=0.75, y=0.25)
    after = is_right(board)
    assert after["picture"] != before["picture"] and after["captions"] != before["captions"]
    for key in (0, 1):
        board.do("remove", key=key)
        is_right(board)
    assert board.scene.objects == (Object("star", "yellow", "large", x=0.75, y=0.25),)
    board.do("remove", key=2)
    is_right(board)
    assert len(board.scene) == 0


def test_what_cannot_be_is_refused_and_changes_nothing(board):
    scene = board.scene
    for action, details, why in [
        ("move", {"key": 1, "x": 0.3, "y": 0.3}, "there: the large red circle is too close"),
        ("move", {"key": 7, "x": 0.5, "y": 0.5}, "not there any more"),
        ("move", {"key": 1, "x": 1.5, "y": 0.5}, "outside of the canvas"),
        ("place", {"x": 0.7, "y": 0.7, **LOOK}, "the small blue square is too close"),
        ("change", {"key": 1, "color": "purple"}, "'purple' is not a color"),
        ("remove", {"key": 7}, "not there any more"),
    ]:
        board.do(action, **details)
        assert board.refused and why in board.said and board.scene == scene
    board.do("move", key=0, x=0.5, y=0.5)
    assert not board.refused


def test_growing_into_a_neighbour_is_refused():
    board = editor.Board(Scene([Object("circle", "red", "small", x=0.3), Object("star", "blue", "small")]))
    board.do("change", key=0, size="large")
    assert board.refused and board.things[0].size == "small"


def test_a_place_near_the_edge_is_moved_inside(board):
    board.do("move", key=0, x=0.0, y=1.0)
    assert not board.refused
    is_right(board)


def test_no_more_objects_than_the_spec_allows_or_the_canvas_holds(board):
    for _ in range(3):
        board.do("place", **LOOK)
        assert not board.refused
        is_right(board)
    board.do("place", **LOOK)
    assert board.refused and "More than 5 objects are not allowed" in board.said
    full = editor.Board(Scene([]), world.Spec(objects=(1, 99)))
    while not full.refused:
        full.do("place", shape="square", color=list(world.COLORS)[len(full.scene) % 6], size="large")
    assert "no room left" in full.said and 9 <= len(full.scene) <= 16


def test_sentences_stay_while_they_are_true(board):
    first = board.view()
    board.do("move", key=0, x=0.26, y=0.25)
    assert board.view()["captions"] == first["captions"]
    assert [text for text, _ in board.view()["questions"]] == [text for text, _ in first["questions"]]
    board.do("anew")
    assert is_right(board)["captions"] != first["captions"]


def test_a_sentence_of_ones_own_is_judged_again_after_each_change(board):
    board.do("judge", sentence=" a red circle left of a blue square ")
    assert board.verdict() == "true"
    board.do("change", key=0, color="green")
    assert board.verdict() == "false"
    for sentence, verdict in [("what color is the circle?", "green"), ("", "")]:
        board.do("judge", sentence=sentence)
        assert board.verdict() == verdict
    board.do("judge", sentence="a purple circle")
    assert "does not know the word 'purple'" in board.verdict()


def test_words_outside_of_the_spec_are_refused():
    heart = Scene([Object("heart", "cyan", texture="striped")])
    with pytest.raises(ValueError, match="striped heart does not belong to this spec: call .*rich"):
        editor.edit(heart)
    board = editor.Board(heart, "rich")
    assert set(board.words) == {"size", "color", "texture", "shape"}
    board.do("place", **LOOK)
    is_right(board)


def test_a_change_takes_less_than_100_ms():
    board, times = editor.Board(world.sample(1, "crowded"), "rich"), []
    for step in range(40):
        start = time.perf_counter()
        board.do("move", key=0, x=0.1 + step / 50, y=0.5)
        board.view()
        times.append(time.perf_counter() - start)
    assert median(times) < 0.1


def test_without_a_reader_it_is_a_plain_figure(monkeypatch, capsys):
    monkeypatch.setenv("MMCOURSE_STATIC", "1")
    shown = []
    monkeypatch.setattr(editor.show, "figure", lambda fig, alt: shown.append(alt))
    board = editor.edit(Scene([RED, BLUE]))
    (alt,) = shown
    assert all(f"{text} {answer}" in alt for text, answer in board.view()["questions"][-2:])
    assert board.view()["captions"][0] in alt and "0x" not in repr(board)
    editor.edit(Scene([]))


def test_the_widget_answers_messages(board):
    pytest.importorskip("anywidget")
    widget = editor._canvas(board)
    widget._handle_custom_msg({"action": "move", "key": 0, "x": 0.5, "y": 0.5}, [])
    assert board.things[0].x == 0.5 and widget.view == board.view()


def test_a_view_says_which_message_it_answers(board):
    for turn, wanted in ((0, 1), (5, 5), (5, 6), (7, 7)):           # who does not count, a lost message, two who count alike
        board.do("move", turn=turn, key=0, x=0.25, y=0.25)
        assert board.view()["turn"] == wanted


def test_plain_controls_do_the_same(board):
    def find(box, description):
        return next(child for row in box.children for child in getattr(row, "children", [row])
                    if getattr(child, "description", "") == description)

    box = editor._controls(board)
    find(box, "color").value = "green"
    find(box, "x").value = 72
    assert board.things[0] == Object("circle", "green", "large", x=72 / 128, y=0.25)
    find(box, "y").value = 90
    assert board.refused and find(box, "y").value == 32            # it snaps back
    find(box, "object").value = 1
    assert find(box, "color").value == "blue" and board.things[0].color == "green"
    find(box, "Add an object").click()
    assert len(board.scene) == 3 and find(box, "object").value == 2
    find(box, "Remove it").click()
    find(box, "sentence").value = "a purple square"
    assert len(board.scene) == 2 and "&#x27;purple&#x27;" in box.children[-1].value


def test_edit_a_scene_in_the_browser(checkout, page):
    pytest.importorskip("anywidget")
    source = ("from mmcourse import editor, world\n"
              "board = editor.edit(world.Scene([world.Object('circle', 'red', 'large', x=0.25, y=0.25),\n"
              "                                 world.Object('square', 'blue', 'small', x=0.75, y=0.75)]))")
    notebook = new_notebook(cells=[new_code_cell(source), new_code_cell("print(board)")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    minicourse.write(notebook, checkout / "notebooks/99_editor.ipynb")
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    with minicourse.lab(checkout, "99") as (_, said):
        desk.open_and_run(page, desk.address(said))
        page.locator(".mm-editor").wait_for(timeout=60_000)
        _by_mouse(page)
        _by_keyboard(page)
        _by_menus_and_words(page)
        assert page.locator(".jp-Cell").count() == 2                # no key went to JupyterLab
        assert errors == [] and page.outside == []


def _thing(page, label):
    return page.locator(".mm-ground").get_by_role("button", name=label)


def _picture(page):
    return page.locator(".mm-ground img").get_attribute("src")


def _by_mouse(page):
    """Drag the square, drop it on the circle where it may not lie, and put a third object down."""
    ground, before = page.locator(".mm-ground").bounding_box(), _picture(page)

    def at(x, y):
        return ground["x"] + x * ground["width"], ground["y"] + y * ground["height"]

    def drag(start, end):
        page.mouse.move(*at(*start))
        page.mouse.down()
        page.mouse.move(*at(*end), steps=8)
        page.mouse.up()

    drag((0.75, 0.75), (0.5, 0.75))
    expect(_thing(page, "small blue square, 50% from the left and 75% from the top")).to_be_focused()
    assert _picture(page) != before
    drag((0.5, 0.75), (0.3, 0.3))
    expect(page.locator(".mm-refused")).to_contain_text("There is no room for a small blue square there")
    page.wait_for_function("""() => {
        const [hit, ground] = [".mm-hit:focus", ".mm-ground"].map(
            (name) => document.querySelector(name).getBoundingClientRect());
        return hit.top > ground.top + ground.height * 0.4;
    }""")                                                           # it has snapped back to free ground
    page.mouse.click(*at(0.85, 0.2))
    expect(_thing(page, "small blue square, 85% from the left and 20% from the top")).to_be_focused()


def _by_keyboard(page):
    """Tab to the circle, move it by its arrow keys, delete the third object.

    The circle goes up and left: where the square came to rest, down and right, depends on how many of the steps of its
    last drag the kernel had time to answer.
    """
    page.keyboard.press("Delete")
    expect(page.locator(".mm-hit")).to_have_count(2)
    _thing(page, "large red circle").focus()
    page.keyboard.press("ArrowLeft")
    expect(_thing(page, "large red circle, 22% from the left and 25% from the top")).to_be_focused()
    page.keyboard.press("a")                                        # JupyterLab's key for a new cell
    page.keyboard.press("Shift+ArrowUp")                            # ... and for choosing two cells
    page.keyboard.press("ArrowUp")
    expect(_thing(page, "large red circle, 22% from the left and 21% from the top")).to_be_focused()


def _by_menus_and_words(page):
    """Another color changes picture and captions; a sentence is judged, and judged again."""
    words, verdict = page.locator(".mm-text input"), page.locator(".mm-text [role=status]")
    words.fill("a purple circle")
    words.press("Enter")
    expect(verdict).to_contain_text("does not know the word 'purple'")
    words.fill("there is a red circle")
    words.press("Enter")
    expect(verdict).to_have_text("true")
    before, captions = _picture(page), page.locator(".mm-text ul").first.inner_text()
    page.get_by_label("color").select_option("green")
    expect(_thing(page, "large green circle")).to_have_attribute("aria-pressed", "true")
    expect(verdict).to_have_text("false")
    assert _picture(page) != before and page.locator(".mm-text ul").first.inner_text() != captions
    assert "green circle" in page.locator(".mm-text ul").first.inner_text()
    expect(page.locator(".mm-text [data-is=read]")).to_have_text("yes")
