"""The scene editor: place, move and change objects by mouse or keyboard, and read at once what is true of them."""

import base64
import io
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt

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
    """Show an editor of a scene and return its `Board`: `board.scene` is what the reader has made of it so far.

    `spec` (a `world.Spec` or its name) says which words the menus offer and how many objects there may be. Without a
    person in front of it, a plain figure is shown. Raises ValueError for a scene that has words outside of the spec.
    """
    board = Board(scene, spec)
    if not widgets.interactive():
        _figure(board)
    else:
        from IPython.display import display
        display(_canvas(board) if find_spec("anywidget") else _controls(board))
    return board


class Board:
    """A scene that can be changed, and what is true of it.

    `things` holds the objects by a key that they keep. An action that cannot be raises ValueError with one sentence
    and changes nothing; otherwise it returns one sentence that says what it did. A sentence stays as it is while it
    is true, a question while it has an answer, so that a reader sees what each change does to them.
    """

    def __init__(self, scene, spec="standard"):
        self.spec = as_spec(spec)
        for thing in scene:
            if any(getattr(thing, kind) not in self.spec.words(kind) for kind in ATTRIBUTES):
                raise ValueError(f"A {thing} does not belong to this spec: call edit(scene, spec='rich'), or give "
                                 "another spec that has its words.")
        self.things = dict(enumerate(scene))
        self.background, self.noise = scene.background, scene.noise
        self.sentence, self.said, self.refused, self.seed, self.turn = "", "", False, 0, 0
        self.captions, self.questions = {}, {}
        self._tell()

    def __repr__(self):
        return f"an editor's board: {', '.join(map(str, self.scene)) or 'no objects'}"

    @property
    def scene(self):
        """The scene as it is now."""
        return Scene(self.things.values(), self.background, self.noise)

    # ---- actions

    def place(self, x=None, y=None, **look):
        """Add an object with its centre at (x, y), by default where there is room nearest to the middle."""
        most = self.spec.objects[1]
        if len(self.things) >= most:
            raise ValueError(f"There are {len(self.things)} objects and there may be {most}: remove one first.")
        thing = self._nearest(look) if x is None else self._fitted(Object(x=x, y=y, **look))
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

    def do(self, action, **details):
        """Carry out an action by its name. `said` is its sentence, `refused` whether it could not be."""
        self.turn += 1
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
            "things": [asdict(thing) | {"key": key, "half": SIZES[thing.size], "label": f"{thing}, {_place(thing)}"}
                       for key, thing in self.things.items()],
            "captions": list(self.captions.values()),
            "questions": [[text, world.answer(scene, text)] for text in self.questions.values()],
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

    def _nearest(self, look):
        steps = [step / 32 for step in range(33)]
        for x, y in sorted(((x, y) for x in steps for y in steps), key=lambda at: (at[0] - .5) ** 2 + (at[1] - .5) ** 2):
            try:
                return self._fitted(Object(x=x, y=y, **look))
            except ValueError:
                pass
        raise ValueError("There is no room left for it: move or remove something first.")

    def _tell(self, anew=False):
        """Replace the sentences that are false by now and the questions without an answer, or all of them."""
        scene, captions, questions = self.scene, {}, {}
        for style in TOLD:
            told = self.captions.get(style)
            try:
                keep = not anew and told and world.satisfies(scene, told)
                captions[style] = told if keep else world.captions(scene, 1, self.seed, style, self.spec)[0]
            except ValueError:
                pass                                    # nothing of this style can be said of this scene
        for name, kinds in ASKED.items():
            try:
                questions[name] = self._asked(scene, None if anew else self.questions.get(name), kinds)
            except ValueError:
                pass
        self.captions, self.questions = captions, questions

    def _asked(self, scene, text, kinds):
        try:
            if text and world.answer(scene, text):
                return text
        except world.NotUnique:
            pass
        return world.questions(scene, 1, self.seed, kinds, self.spec)[0].text


def _place(thing):
    return f"{thing.x:.0%} from the left and {thing.y:.0%} from the top"


def _figure(board):
    """The scene beside one sentence and two questions with their answers, as a plain figure."""
    view = board.view()
    lines = [view["captions"][0] + ".", *(f"{text}  {answer}" for text, answer in view["questions"][-2:])] \
        if board.things else ["An empty scene."]
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6), width_ratios=(1, 1.9))
    show.panel(left, board.scene.image(256))
    right.axis("off")
    right.text(0, 0.5, "\n\n".join(show.wrapped(line, 48) for line in lines), va="center")
    show.figure(fig, alt=f"A scene with true sentences beside it: {' '.join(lines)}")


def _canvas(board):
    """The editor as a widget with a picture to click and drag on (editor.js, editor.css)."""
    import anywidget
    import traitlets

    class Editor(anywidget.AnyWidget):
        _esm = Path(__file__).with_suffix(".js").read_text("utf-8")
        _css = Path(__file__).with_suffix(".css").read_text("utf-8")
        words = traitlets.Dict().tag(sync=True)
        view = traitlets.Dict().tag(sync=True)

    editor = Editor(words={kind: board.spec.words(kind) for kind in ("shape", "color", "size", "texture")},
                    view=board.view())

    def act(_, message, buffers):
        board.do(**message)
        editor.view = board.view()

    editor.on_msg(act)
    return editor


def _controls(board):
    """The editor as plain menus and sliders, for a front end without anywidget, such as Colab's."""
    import ipywidgets
    from html import escape

    page, sentence = ipywidgets.HTML(), ipywidgets.Text(description="sentence", continuous_update=False)
    add, remove = ipywidgets.Button(description="Add an object"), ipywidgets.Button(description="Remove it")
    which = ipywidgets.Dropdown(description="object")
    menus = {kind: ipywidgets.Dropdown(description=kind, options=board.spec.words(kind)) for kind in ATTRIBUTES}
    sliders = {axis: ipywidgets.IntSlider(description=axis, max=GRID, continuous_update=False) for axis in "xy"}
    loading = []                                        # holds something while the board moves the controls

    def load(key):
        loading.append(True)
        view = board.view()
        which.options = [(f"{n}: {thing}", k) for n, (k, thing) in enumerate(board.things.items(), 1)]
        which.value = key if key in board.things else next(iter(board.things), None)
        if thing := board.things.get(which.value):
            for name, box in (menus | sliders).items():
                box.value = round(getattr(thing, name) * GRID) if name in sliders else getattr(thing, name)
        lines = [view["said"], *view["captions"], *(f"{text} {answer}" for text, answer in view["questions"]),
                 f"The oracle reads this scene from the picture: {view['read']}", view["verdict"]]
        page.value = (f'<img alt="the scene" width="320" style="image-rendering: pixelated" src="{view["picture"]}">'
                      + "".join(f"<p>{escape(line)}</p>" for line in lines))
        loading.clear()

    def do(action, **details):
        if not loading:
            board.do(action, **details)
            load(max(board.things) if action == "place" and not board.refused else which.value)

    which.observe(lambda new: loading or load(new.new), "value")
    for kind, menu in menus.items():
        menu.observe(lambda new, kind=kind: do("change", key=which.value, **{kind: new.new}), "value")
    for slider in sliders.values():
        slider.observe(lambda _: do("move", key=which.value, **{a: s.value / GRID for a, s in sliders.items()}), "value")
    sentence.observe(lambda new: do("judge", sentence=new.new), "value")
    add.on_click(lambda _: do("place", **{kind: menu.value for kind, menu in menus.items()}))
    remove.on_click(lambda _: do("remove", key=which.value))
    load(None)
    return ipywidgets.VBox([which, *menus.values(), *sliders.values(), ipywidgets.HBox([add, remove]), sentence, page])
