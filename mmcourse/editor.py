"""The scene editor: place, move and change objects by mouse or keyboard, and read at once what is true."""

import base64
import io
from dataclasses import asdict, replace
from html import escape
from importlib.util import find_spec
from math import hypot
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import display

from mmcourse import show, widgets, world
from mmcourse.world.scene import ATTRIBUTES, EDGE, GAP, GRID, SIZES, Object, Scene, as_spec

PIXELS = 64                                             # the picture that models see, and the oracle reads
TOLD = ("full", "relation", "negation")                 # styles of the sentences below the picture
ASKED = {                                               # kinds of the questions below them
    "look": ("query_color", "query_shape", "query_size"),
    "number": ("count", "compare_number", "exist"),
    "relation": ("relate_color", "relate_shape", "relate_size"),
}


def edit(scene, spec="standard"):
    """Show an editor of a scene and return its `Board`: `board.scene` is what the reader made of it so far.

    `spec` (a `world.Spec` or its name) says which words the menus offer and how many objects there may be.
    Without a person in front of it, a plain figure is shown. Raises ValueError for a scene that has words
    outside of the spec.
    """
    board = Board(scene, spec)
    if not widgets.interactive():
        _figure(board)
    else:
        display(_canvas(board) if find_spec("anywidget") else _controls(board))
    return board


class Board:
    """A scene that can be changed, and what is true of it.

    `things` holds the objects by a key that they keep. An action that cannot be raises ValueError with one
    sentence and changes nothing; otherwise it returns one sentence that says what it did. A caption stays as
    it is while it is true, a question while it has an answer, so that a reader sees what each change does.
    """

    def __init__(self, scene, spec="standard"):
        self.spec = as_spec(spec)
        for thing in scene:
            if any(getattr(thing, kind) not in self.spec.words(kind) for kind in ATTRIBUTES):
                raise ValueError(f"A {thing} does not belong to this spec: call edit(scene, spec='rich').")
        self.things = dict(enumerate(scene))
        self.background, self.noise = scene.background, scene.noise
        self.sentence, self.said, self.refused, self.seed, self.turn = "", "", False, 0, 0
        self.captions, self.questions = {}, {}
        self._tell()

    def __repr__(self):
        return f"an editor's board: {', '.join(map(str, self.scene)) or 'no objects'}"

    @property
    def words(self):
        """The words that a reader may choose from: {attribute: words}, for attributes with a choice."""
        return {kind: self.spec.words(kind) for kind in ATTRIBUTES if len(self.spec.words(kind)) > 1}

    @property
    def scene(self):
        """The scene as it is now."""
        return Scene(self.things.values(), self.background, self.noise)

    # ---- actions

    def place(self, x=None, y=None, **look):
        """Add an object with its centre at (x, y), by default where there is room nearest to the middle."""
        most = self.spec.objects[1]
        if len(self.things) >= most:
            raise ValueError(f"More than {most} objects are not allowed here: remove one first.")
        look = {kind: self.spec.words(kind)[0] for kind in ATTRIBUTES} | look
        thing = self._nearest(Object(**look)) if x is None else self._fitted(Object(**look, x=x, y=y))
        self.things[max(self.things, default=-1) + 1] = thing
        self._tell(anew=True)
        return f"Added a {thing}."

    def move(self, key, x, y):
        """Put an object's centre at (x, y), canvas = 1; a place too near to the edge is moved inside."""
        thing = self.things[key] = self._fitted(replace(self._thing(key), x=x, y=y), key)
        self._tell()
        return f"The {thing} is {_place(thing)}."

    def change(self, key, **look):
        """Change an object's shape, color, size or texture."""
        before = self._thing(key)
        after = replace(before, **look)
        self.things[key] = after if after.size == before.size else self._fitted(after, key)
        self._tell()
        return f"The {before} is a {after} now."

    def remove(self, key):
        """Take an object away."""
        thing = self._thing(key)
        del self.things[key]
        self._tell()
        return f"Removed the {thing}."

    def judge(self, sentence):
        """Keep a sentence or question of the reader's own; `verdict` says what it is worth, now and later."""
        self.sentence = sentence.strip()
        return ""

    def anew(self):
        """Exchange all sentences and questions for others."""
        self.seed += 1
        self._tell(anew=True)
        return "Here are other sentences and questions."

    def do(self, action, turn=0, **details):
        """Carry out an action by its name. `said` is its sentence, `refused` whether it could not be.

        `turn` is the number that who asks gave to the message: the next view has it, and says so what it answers.
        """
        self.turn = max(self.turn + 1, turn)
        try:
            self.said, self.refused = getattr(self, action)(**details), False
        except ValueError as error:
            self.said, self.refused = str(error), True

    # ---- what there is to see

    def verdict(self):
        """"true" or "false" for the reader's sentence, the answer to a question, or what is wrong with it."""
        if not self.sentence:
            return ""
        try:
            if self.sentence.endswith("?"):
                return world.answer(self.scene, self.sentence)
            return "true" if world.satisfies(self.scene, self.sentence) else "false"
        except ValueError as error:
            return str(error)

    def view(self):
        """All that the reader sees, as JSON values."""
        scene, buffer = self.scene, io.BytesIO()
        picture = scene.image(PIXELS)
        picture.save(buffer, "PNG")
        seen = world.read(picture)
        return {
            "turn": self.turn, "said": self.said, "refused": self.refused, "verdict": self.verdict(),
            "picture": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
            "things": [asdict(thing) | {"key": key, "half": SIZES[thing.size],
                                        "label": f"{thing}, {_place(thing)}"}
                       for key, thing in self.things.items()],
            "captions": list(self.captions.values()),
            "questions": list(self.questions.values()),
            "read": "yes" if seen == scene else f"no, it reads: {', '.join(map(str, seen)) or 'nothing'}",
        }

    # ---- how it is done

    def _thing(self, key):
        if key not in self.things:
            raise ValueError("This object is not there any more: choose another one.")
        return self.things[key]

    def _fitted(self, thing, key=None):
        """The thing, moved inside the canvas, or ValueError where another one (but `key`) is too close."""
        low = SIZES[thing.size] + EDGE / GRID
        thing = replace(thing, **{axis: min(max(getattr(thing, axis), low), 1 - low) for axis in "xy"})
        for other in (other for k, other in self.things.items() if k != key):
            apart = SIZES[thing.size] + SIZES[other.size] + GAP / GRID
            if max(abs(thing.x - other.x), abs(thing.y - other.y)) < apart:
                raise ValueError(f"There is no room for a {thing} there: the {other} is too close.")
        return thing

    def _nearest(self, thing):
        steps = [step / 32 for step in range(33)]
        places = sorted((hypot(x - 0.5, y - 0.5), x, y) for x in steps for y in steps)
        for _, x, y in places:
            try:
                return self._fitted(replace(thing, x=x, y=y))
            except ValueError:
                pass
        raise ValueError(f"There is no room left for a {thing}: move or remove something first.")

    def _tell(self, anew=False):
        scene, captions, questions = self.scene, self.captions, self.questions
        if anew:
            captions, questions = {}, {}
        self.captions = {style: told for style in TOLD
                         if (told := self._caption(scene, style, captions.get(style)))}
        self.questions = {name: asked for name in ASKED
                          if (asked := self._question(scene, name, questions.get(name)))}

    def _caption(self, scene, style, told):
        """What was told, if it is still true, else a new sentence of that style, None where there is none."""
        try:
            if told and world.satisfies(scene, told):
                return told
            return world.captions(scene, 1, self.seed, style, self.spec)[0]
        except ValueError:
            return None

    def _question(self, scene, name, asked):
        """(text, answer) of what was asked, if it still has an answer, else of a new one, or None."""
        try:
            if asked:
                return asked[0], world.answer(scene, asked[0])
        except world.NotUnique:
            pass
        try:
            question = world.questions(scene, 1, self.seed, ASKED[name], self.spec)[0]
        except ValueError:
            return None
        return question.text, question.answer


def _place(thing):
    return f"{thing.x:.0%} from the left and {thing.y:.0%} from the top"


def _figure(board):
    """The scene beside one sentence and two questions with their answers, as a plain figure."""
    told = [f"{text}." for text in board.captions.values()][:1]
    asked = [f"{text} {answer}" for text, answer in board.questions.values()][-2:]
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6), width_ratios=(1, 1.9))
    show.panel(left, board.scene.image(256))
    right.axis("off")
    right.text(0, 0.5, "\n\n".join(show.wrapped(line, 46) for line in told + asked), va="center")
    show.figure(fig, alt=f"A scene, with what is true of it beside it: {' '.join(told + asked)}")


def _canvas(board):
    """The editor as a widget with a picture to click and drag on (editor.html, editor.js, editor.css)."""
    import anywidget
    import traitlets

    def file(suffix):
        return Path(__file__).with_suffix(suffix).read_text("utf-8")

    class Editor(anywidget.AnyWidget):
        _esm, _css = file(".js"), file(".css")
        page = traitlets.Unicode(file(".html")).tag(sync=True)
        words = traitlets.Dict(board.words).tag(sync=True)
        view = traitlets.Dict(board.view()).tag(sync=True)

    def act(editor, message, buffers):
        board.do(**message)
        editor.view = board.view()

    editor = Editor()
    editor.on_msg(act)
    return editor


def _controls(board):
    """The editor as plain menus and sliders, for a front end without anywidget, such as Colab's."""
    import ipywidgets as w

    page, sentence = w.HTML(), w.Text(description="sentence", continuous_update=False)
    add, remove = w.Button(description="Add an object"), w.Button(description="Remove it")
    which = w.Dropdown(description="object")
    menus = {kind: w.Dropdown(description=kind, options=words) for kind, words in board.words.items()}
    sliders = {axis: w.IntSlider(description=axis, max=GRID, continuous_update=False) for axis in "xy"}
    loading = []                                        # not empty while the board moves the controls

    def load(key):
        loading.append(key)
        which.options = [(f"{n}: {thing}", k) for n, (k, thing) in enumerate(board.things.items(), 1)]
        which.value = key if key in board.things else next(iter(board.things), None)
        if thing := board.things.get(which.value):
            now = asdict(thing) | {axis: round(getattr(thing, axis) * GRID) for axis in sliders}
            for name, control in (menus | sliders).items():
                control.value = now[name]
        loading.clear()
        page.value = _page(board.view())

    def move(_):
        do("move", key=which.value, **{axis: slider.value / GRID for axis, slider in sliders.items()})

    def do(action, **details):
        if not loading:
            board.do(action, **details)
            load(max(board.things) if action == "place" and not board.refused else which.value)

    which.observe(lambda new: loading or load(new.new), "value")
    for kind, menu in menus.items():
        menu.observe(lambda new, kind=kind: do("change", key=which.value, **{kind: new.new}), "value")
    for slider in sliders.values():
        slider.observe(move, "value")
    sentence.observe(lambda new: do("judge", sentence=new.new), "value")
    add.on_click(lambda _: do("place", **{kind: menu.value for kind, menu in menus.items()}))
    remove.on_click(lambda _: do("remove", key=which.value))
    load(None)
    return w.VBox([which, *menus.values(), *sliders.values(), w.HBox([add, remove]), sentence, page])


def _page(view):
    lines = [view["said"], *view["captions"], *map(" ".join, view["questions"]),
             f"Does the oracle read this scene from the pixels? {view['read']}", view["verdict"]]
    return (f'<img alt="the scene" width="320" style="image-rendering: pixelated; border: 1px solid #9a9a9a" '
            f'src="{view["picture"]}"><br>' + "<br>".join(escape(line) for line in lines if line))
