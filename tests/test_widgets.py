"""The widgets of all lessons in a real JupyterLab: driven by keyboard, labelled, quick or honest about it.

A whole lesson runs for a minute or more, all of them for longer than this file may, and tests of the notebooks run them
anyway. So each lesson gives a small notebook of its own: those statements of its code that its widgets need, found by the
names that they bind, with training cut to a few steps. What is tried here is the widget, not what its model has learned.
"""

import ast
import re
import symtable
from statistics import median

import desk
import minicourse
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import TimeoutError as Late

WIDGET = re.compile(r"\b(widgets\.explorer|editor\.edit)\(")
LESSONS = {path.stem: nbformat.read(path, as_version=4)
           for path in sorted((minicourse.CHECKOUT / "notebooks").glob("*.ipynb"))}
PICTURE = ".mm-explorer img, .mm-ground img"
# Notes in a file, for each message from a control, how many seconds of processor time the kernel needed for it.
FIRST = """
import time, mmcourse
from mmcourse import training
mmcourse.setup()
handlers = get_ipython().kernel.shell_handlers

def few(model, batch, loss, steps, *rest, fit=training.fit, **more):
    return fit(model, batch, loss, min(steps, 9), *rest, **more)

def timed(*message, handle=handlers["comm_msg"]):
    start = time.process_time()
    result = handle(*message)
    print(time.process_time() - start, file=open("{name}.seconds", "a"))
    return result

training.fit, handlers["comm_msg"] = few, timed
"""
# Whether a widget says that it is thinking is seen by nobody but an observer: it may be over at once.
WATCH = """() => { new MutationObserver(() => { window.thought ||= document.querySelector(".mm-explorer")
    ?.innerText.includes("thinking") }).observe(document.body, {subtree: true, childList: true}) }"""
NAME = """(e) => e.ariaLabel || [...e.labels || []].map((label) => label.innerText).join(" ") || e.innerText"""


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.get("id") != "setup"]


def names(statement):
    """The names that a statement binds or sets a part of, and those that it uses, in its functions too."""
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    bound = {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported() or one.is_namespace()}
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            bound |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    tables, used = [table], set()
    for inner in tables:
        used |= {one.get_name() for one in inner.get_symbols()
                 if one.is_referenced() and (inner is table or one.is_global())}
        tables += inner.get_children()
    return bound, used


def needed(statements):
    """Those of the statements without which the last would not run, in their order."""
    later = set()                                       # used in functions, whose names are looked up when they are called
    while True:
        wanted, kept, before = {*later, *names(statements[-1])[1]}, [], len(later)
        for statement in reversed(statements):
            bound, used = names(statement)
            if statement is statements[-1] or bound & wanted:
                kept.append(statement)
                later |= used if isinstance(statement, ast.FunctionDef | ast.ClassDef) else set()
                wanted = wanted - (set() if hasattr(statement, "body") and not hasattr(statement, "name") else bound) | used
        if len(later) == before:
            return kept[::-1]


def small(stem):
    """A notebook that shows nothing but the widgets of a lesson."""
    cells = code(LESSONS[stem])
    sources = [FIRST.replace("{name}", stem)]
    for index in (index for index, cell in enumerate(cells) if WIDGET.search(cell)):
        statements = [statement for cell in cells[:index + 1] for statement in ast.parse(cell).body]
        sources.append("\n".join(map(ast.unparse, needed(statements))))
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    return notebook


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A server with the small notebooks: its folder and what it said."""
    folder = desk.copy_course(tmp_path_factory.mktemp("course"))
    for stem in LESSONS:
        minicourse.write(small(stem), folder / "notebooks" / f"{stem}.ipynb")
    with minicourse.lab(folder) as (_, said):
        yield folder, said


@pytest.mark.parametrize("stem", LESSONS)
def test_every_lesson_has_a_widget_and_stores_its_picture(stem):
    shows = [cell for cell in LESSONS[stem].cells if cell.cell_type == "code" and WIDGET.search(cell.source)]
    assert shows, f"lesson {stem} has nothing to move"
    for cell in shows:
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert pictures and all(output.metadata["image/png"]["alt"] for output in pictures)
        assert all("widget" not in kind for output in cell.outputs for kind in output.get("data", {}))


@pytest.fixture
def server(course):
    yield course
    desk.end_kernels(course[1])


@pytest.mark.parametrize("stem", LESSONS)
def test_a_widget_by_keyboard(server, page, stem):
    folder, said = server
    seconds = folder / "notebooks" / f"{stem}.seconds"
    widgets = len(WIDGET.findall("\n".join(code(LESSONS[stem]))))
    page.add_init_script("window.thought = false")
    desk.open_and_run(page, desk.address(said, stem))
    page.wait_for_function(f"document.querySelectorAll('{PICTURE}').length >= {widgets} || "
                           "document.body.innerText.includes('Traceback')", timeout=240_000)
    assert page.get_by_text("Traceback (most recent call last)").all_inner_texts() == []
    page.evaluate(WATCH)
    for number in range(page.locator(".mm-editor").count()):
        _edit(page.locator(".mm-editor").nth(number))
    for number in range(page.locator(".mm-explorer").count()):
        _explore(page, page.locator(".mm-explorer").nth(number), lambda: _count(seconds))
    moves = [float(line) for line in seconds.read_text().split()]
    took = median(move for move in moves if move > 0.002)           # what only came from the page is not a move
    print(f"{stem}: {took * 1000:.0f} ms of processor time a move, thought: {page.evaluate('window.thought')}")
    assert took <= 0.1 or page.evaluate("window.thought"), f"a move takes {took:.2f} s, and nothing says that it is thinking"
    assert took < 2
    assert page.outside == []


def test_a_box_of_an_atlas_opens_its_lesson(server, page):
    folder, said = server
    notebook = new_notebook(cells=[new_code_cell("""
import matplotlib.pyplot as plt
from mmcourse import widgets
widgets.atlas(plt.figure(figsize=(4, 2)), "a map", 2, 1, {(1, 0): ("11_attention.ipynb", "11 attention")})""")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    minicourse.write(notebook, folder / "notebooks" / "map.ipynb")
    desk.open_and_run(page, desk.address(said, "map"))
    page.get_by_role("img", name="a map").wait_for(timeout=120_000)
    page.get_by_role("link", name="11 attention").click()
    page.get_by_role("tab", name="11_attention.ipynb").wait_for(timeout=60_000)
    assert page.outside == []


def _count(seconds):
    return len(seconds.read_text().split()) if seconds.exists() else 0


def _explore(page, widget, count):
    """Every control can be reached with Tab, has a name, and changes the picture; some only when others have been moved."""
    controls = widget.locator("select, input, [role=slider]")
    controls.first.focus()
    reached = []
    for _ in range(3 * controls.count()):                           # the number beside a slider can be reached, too
        reached.append(page.evaluate(f"({NAME})(document.activeElement)"))
        page.keyboard.press("Tab")
    wanted = widget.locator("label:visible").all_inner_texts()
    assert len(wanted) == controls.count() and set(wanted) <= set(reached)
    still = []
    for control in controls.all():
        if not _moved(page, widget, control, count, there_and_back=True):
            still.append(control)
    if still:
        for control in controls.all():
            _moved(page, widget, control, count)
    for control in still:
        assert _moved(page, widget, control, count), f"{control.evaluate(NAME)} does not change the picture"


def _moved(page, widget, control, count, there_and_back=False):
    """Move a control up to five steps, until the picture is another one; say whether it is. Perhaps put it back."""
    kind = control.evaluate("e => e.localName")
    before, value = _source(widget), "e => e.value ?? e.ariaValueNow"
    start, keys = control.evaluate(value), {"select": ("ArrowDown", "ArrowUp")}.get(kind, ("ArrowRight", "ArrowLeft"))
    for step in range(5):
        done = count()
        control.focus()
        if kind == "input":
            control.fill(f"{start} is there a circle? {'?' * step}"[-21 - step:])
            control.press("Enter")
        else:
            now = control.evaluate(value)
            control.press(keys[0])
            if control.evaluate(value) == now:
                keys = keys[::-1]
                control.press(keys[0])
        for _ in range(300):                                        # the kernel has drawn
            if count() > done:
                break
            page.wait_for_timeout(100)
        else:
            raise AssertionError(f"{control.evaluate(NAME)}: the kernel did not answer")
        if _changes(page, widget, before):
            break
    else:
        return False
    if there_and_back:
        seen = _source(widget)
        control.focus()
        for _ in range(step + 1):
            control.fill(start) if kind == "input" else control.press(keys[1])
        if kind == "input":
            control.press("Enter")
        _changes(page, widget, seen)
    return True


def _source(widget):
    return widget.locator("img").get_attribute("src")


def _changes(page, widget, before):
    try:
        page.wait_for_function("([widget, before]) => widget.querySelector('img').src !== before",
                               arg=[widget.element_handle(), before], timeout=3000)
        return True
    except Late:
        return False


def _edit(widget):
    """An arrow key moves a thing and changes the picture; every control has a name."""
    before = _source(widget)
    assert all(part.evaluate(NAME).strip() for part in widget.locator("button, select, input").all())
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        widget.locator(".mm-hit").first.press(key)
        widget.page.wait_for_function("""([widget, before]) => widget.querySelector("img").src !== before
            || widget.querySelector(".mm-refused")""", arg=[widget.element_handle(), before])
        if _source(widget) != before:
            return
    raise AssertionError("no arrow key moves the first thing")
