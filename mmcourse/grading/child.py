"""The answer's process. It holds one submission's answers and nothing that could tell whether they are right.

It runs as a script, alone with wire.py: `child.py SETTINGS`, a JSON dict. The first process runs the course's own cells
once and then forks a process for each exercise, so that what one answer breaks is broken for that answer only. Messages
come on stdin and go to stdout; before any answer runs, both are moved out of the way of print() and input().
"""

import builtins
import ctypes
import importlib
import inspect
import json
import os
import random
import re
import resource
import signal
import sys
import traceback
import types

import wire                                # in the sandbox it lies beside this file

ORDERLY = 77                               # the exit code of an exercise's process that was told to end
SUBREAPER, NO_NEW_PRIVILEGES, PARENT_DEATH = 36, 38, 1


class Peer:
    """This side of the channel: sends and receives messages, keeps what handles stand for."""

    def __init__(self, read, write):
        self.read, self.write, self.kept, self.calls, self.pid = read, write, [], [], os.getpid()

    def _exactly(self, count):
        parts = []
        while count:
            part = os.read(self.read, min(count, 1 << 20))
            if not part:
                os._exit(0)                                     # the grader is gone
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def receive(self):
        text, block = wire.HEADER.unpack(self._exactly(wire.HEADER.size))
        return wire.unpack(self._exactly(text), self._exactly(block), self.handle, (_build, _import))

    def send(self, **message):
        if os.getpid() != self.pid:
            os._exit(0)                                         # a process that the answer forked came back here
        content = memoryview(wire.pack(message, self.keep))
        while content:
            content = content[os.write(self.write, content[:1 << 16]):]

    def keep(self, value, encode):
        """An object that stays here: its number, and what a check may want to know about it."""
        if isinstance(value, _Given):
            return ["mine", value._number]
        self.kept.append(value)
        return ["handle", len(self.kept) - 1, _name(value), callable(value), _signature(value)]

    def handle(self, number, *_):
        return self.kept[number] if not _ else _Given(self, number)

    def ask(self, number, args, kwargs):
        """Call a function of the grader's, one that a check has handed to the answer."""
        self.send(op="call", handle=number, value=[list(args), kwargs])
        while True:
            message = self.receive()
            if message["op"] == "return":
                return message["value"]
            if message["op"] == "raise":
                raise getattr(builtins, message["name"], RuntimeError)(message["text"])
            self.serve(message)

    def serve(self, message):
        """Do what the grader asks of an object here, and answer with the value or the error."""
        try:
            if message["op"] == "gradient":
                value = self._gradient(*self.calls[message["call"]], message["value"])
            elif message["op"] == "get":
                value = getattr(self.kept[message["handle"]], message["name"])
            else:
                args, kwargs = message["value"]
                value = self.kept[message["handle"]](*args, **kwargs)
                self.calls += [(wire.learning([args, kwargs]), wire.learning(value))]
            self.send(op="return", value=value, call=len(self.calls) - 1)
        except BaseException as error:                          # SystemExit and KeyboardInterrupt are answers, too
            self.send(op="raise", **_told(error))

    @staticmethod
    def _gradient(inputs, outputs, wanted):
        """The gradients of a call's inputs, None where there is none, from those of its outputs."""
        import torch
        return list(torch.autograd.grad(outputs, inputs, wanted, retain_graph=True, allow_unused=True))


class _Given:
    """A function that a check hands to the answer. It runs on the grader's side."""

    def __init__(self, peer, number):
        self._peer, self._number = peer, number

    def __call__(self, *args, **kwargs):
        return self._peer.ask(self._number, args, kwargs)


def _build(decoder, cls, fields, parameters, buffers, modules):
    """A torch module from its class's name, plain attributes, tensors and parts."""
    import torch
    made = object.__new__(_import(cls))
    torch.nn.Module.__init__(made)
    for name, tree in parameters.items():
        tensor = decoder.decode(tree)
        made.register_parameter(name, None if tensor is None else torch.nn.Parameter(tensor.detach(), tensor.requires_grad))
    for name, tree in buffers.items():
        tensor = decoder.decode(tree)
        made.register_buffer(name, tensor)
    for name, tree in modules.items():
        made.add_module(name, decoder.decode(tree))
    for name, tree in fields.items():
        object.__setattr__(made, name, decoder.decode(tree))
    return made


def _import(name):
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _name(value):
    return getattr(value, "__name__", None) if isinstance(value, types.FunctionType) else type(value).__name__


def _signature(value):
    """[[name, kind, has a default], ...], None when Python does not know."""
    try:
        return [[p.name, int(p.kind), p.default is not p.empty] for p in inspect.signature(value).parameters.values()]
    except (ValueError, TypeError):
        return None


def _told(error):
    """What is told about an error: its name, its text, and the answer's line it came from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<answer>"]
    first = next(iter(error.args), "") if isinstance(error, KeyError) else error
    cell = {"line": lines[-1]} if lines else {}
    if isinstance(error, SyntaxError) and error.filename == "<answer>":
        cell, first = {"line": error.lineno}, error.msg
    bases = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    return {"name": type(error).__name__, "base": bases[0], "text": _text(first), **cell}


def _text(value):
    try:
        return str(value)[:1000]
    except Exception:
        return ""


# ---- the cells ----

def _compiled(source):
    """The code of a cell, and whether it is written for IPython: with !, % or ?, an indent or prompts that a notebook takes."""
    try:
        return compile(source, "<answer>", "exec"), False
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager
        plain = TransformerManager().transform_cell(re.sub(r"\A\s*%%.*", "", source))
        return compile(plain, "<answer>", "exec"), plain != source


class Notebook:
    """What get_ipython() gives here: !, % and ? do nothing."""

    def __getattr__(self, name):
        return lambda *_, **__: None


def _run(cells, space):
    """Run cells [[source, whose], ...]. Returns of the last one its error, None when it ran, whether it is for IPython,
    and the names that it made."""
    told, skipped, new = None, False, []
    for source, whose in cells:
        told, before = None, dict(space)
        try:
            code, skipped = _compiled(source)
            exec(code, space)
        except BaseException as error:
            told = _told(error)
            if whose == "course":
                raise
        new = [name for name in space if space[name] is not before.get(name) and not name.startswith("_")]
    return told, skipped, new


def _exercise(peer, message, space, settings):
    """The process of one exercise: run its cells, hand over the answer, serve the check until it is done."""
    resource.setrlimit(resource.RLIMIT_CPU, (settings["seconds"] + 5, settings["seconds"] + 10))
    _seed(message["seed"])
    peer.send(**_found(message, space))
    while (message := peer.receive())["op"] != "end":
        peer.serve(message)


def _found(message, space):
    """What running the cells gave: the answer, or why there is none."""
    try:
        told, skipped, new = _run(message["cells"], space)
    except BaseException as error:
        return {"op": "broken", **_told(error)}
    try:
        return {"op": "ready", "error": told, "skipped": skipped, "value": eval(message["answer"], space)}
    except BaseException as error:
        told = told or (None if isinstance(error, NameError) else _told(error))
        return {"op": "missing", "error": told, "functions": [name for name in new if callable(space[name])]}


def _seed(number):
    random.seed(number)
    for name, seed in (("torch", "manual_seed"), ("numpy", "seed")):
        if found := sys.modules.get(name):
            getattr(found if name == "torch" else found.random, seed)(number)


# ---- the first process ----

def _confine(settings):
    """Limits that hold for all processes; as root, become somebody without rights."""
    try:
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass
    if settings["uid"]:
        os.setgroups([])
        os.setresgid(*[settings["uid"]] * 3)
        os.setresuid(*[settings["uid"]] * 3)
    _die_with_parent()
    for name, value in settings["limits"].items():
        if hasattr(resource, name):
            _, hard = resource.getrlimit(getattr(resource, name))
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(getattr(resource, name), (value, value))
            except (OSError, ValueError):
                pass                                            # a system that does not know this limit


def _die_with_parent():
    try:
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def _sweep():
    """Kill what the exercise left running: orphans come to this process, which takes them all."""
    for _ in range(100):
        try:
            pids = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        except OSError:
            return
        if not pids:
            return
        for pid in map(int, pids):
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


class Hint(AssertionError):
    """So that an answer may name it."""


def _without_checks():
    """A mmcourse.checks that checks nothing: here the calls of check() mean nothing, and no truth is to be had."""
    stand_in = types.ModuleType("mmcourse.checks")
    stand_in.Hint, stand_in.check = Hint, lambda number, answer: None
    sys.modules["mmcourse.checks"] = stand_in


def _without_oracle():
    """Whoever counts by world.read answers from the truth (01.6), and no other exercise needs it."""
    from mmcourse import world

    def read(picture):
        raise NameError("world.read is not to be used here: answer from the pixels")
    world.read = read


def _without_figures():
    """A mmcourse.setup() without the figures' style, whose imports would be a third of a box's start: nobody looks here."""
    import mmcourse

    def setup():
        import torch
        torch.manual_seed(0)
    mmcourse.setup = setup


def _space():
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__.update(display=print, get_ipython=Notebook, input=lambda *_: "")
    return module.__dict__


def _memory(limit):
    """A limit on addresses where torch is a build for the CPU; one for GPUs takes addresses by the hundred GB."""
    torch = sys.modules.get("torch")
    if torch is None or torch.version.cuda is None and torch.version.hip is None:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        except (OSError, ValueError):
            pass


def main():
    settings = json.loads(sys.argv[1])
    peer = Peer(os.dup(0), os.dup(1))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _confine(settings)
    sys.path[:0] = settings["path"]
    _without_checks()
    _without_oracle()
    _without_figures()
    space = _space()
    message = peer.receive()
    try:
        _run([[source, "course"] for source in message["cells"]], space)
    except BaseException as error:
        peer.send(op="broken", **_told(error))
        return
    _memory(settings["memory"])
    peer.send(op="prepared")
    while True:
        message = peer.receive()
        if message["op"] == "end":                              # meant for a process that had ended before
            continue
        pid = os.fork()
        if pid == 0:
            peer.pid = os.getpid()
            _die_with_parent()
            try:
                _exercise(peer, message, space, settings)
                os._exit(ORDERLY)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        _sweep()
        peer.send(op="ended", status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
