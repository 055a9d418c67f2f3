"""An answer that runs in another process, seen from a check: call it, and what comes back is plain values and tensors."""

import builtins
import inspect
import os
import selectors
import signal
import time

import torch

from mmcourse.grading import sandbox, wire

ORDERLY = 77                              # as in child.py
OUTPUT = 2 ** 20                          # bytes that an exercise may print
MEMORY = 6 * 2 ** 30                      # bytes that all processes of an answer may hold together
RAISED = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)
          and name not in ("UnicodeDecodeError", "UnicodeEncodeError", "UnicodeTranslateError", "ExceptionGroup")}


class Ended(BaseException):
    """The answer's process is over before its check was: a verdict and a hint. No check may catch it."""

    def __init__(self, verdict, hint):
        super().__init__(verdict, hint)
        self.verdict, self.hint = verdict, hint


class Channel:
    """The line to a started sandbox (a Popen). Every wait is bounded in time, output, memory and size of messages."""

    def __init__(self, process, seconds):
        self.process, self.left = process, seconds       # seconds that the answer may still take
        self.kept, self.printed, self.passed, self.over = [], 0, bytearray(), None
        self.looked = time.monotonic()
        self.loop = selectors.DefaultSelector()
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
        self.loop.register(process.stdout, selectors.EVENT_READ)
        self.loop.register(process.stderr, selectors.EVENT_READ)

    def begin(self, seconds):
        """A new exercise: its own time and output, and nothing kept of the one before."""
        self.left, self.kept, self.printed = seconds, [], 0

    def send(self, **message):
        if self.over:
            raise self.over
        content = memoryview(wire.pack(message, self._keep))
        self.loop.register(self.process.stdin, selectors.EVENT_WRITE)
        try:
            while content:
                for event in self._ready():
                    if event.fileobj is self.process.stdin:
                        try:
                            content = content[os.write(self.process.stdin.fileno(), content[:1 << 16]):]
                        except BrokenPipeError:
                            self._end("died", "")
        finally:
            self.loop.unregister(self.process.stdin)

    def receive(self):
        """The next message of the answer's process, a dict with "op". Raises Ended."""
        text, block = self._lengths(self._exactly(wire.HEADER.size))
        try:
            message = wire.unpack(self._exactly(text), self._exactly(block), self._handle)
            if not isinstance(message, dict) or not isinstance(message.get("op"), str):
                raise wire.Garbled("no message")
        except wire.Garbled as error:
            self._end("died", f"the process sent something that is no value ({error})")
        if message["op"] == "ended":                     # said by the first process, which goes on
            raise _gone(message.get("status"))
        return message

    def _lengths(self, header):
        text, block = wire.HEADER.unpack(header)
        if max(text, block) > wire.LIMIT:
            self._end("died", "the process wrote where only the grader may write")
        return text, block

    def _exactly(self, count):
        while len(self.passed) < count:
            for event in self._ready():
                if event.fileobj is self.process.stdout:
                    part = os.read(self.process.stdout.fileno(), 1 << 20)
                    if not part:
                        self._end("died", "")
                    self.passed += part
        taken = bytes(self.passed[:count])
        del self.passed[:count]
        return taken

    def _ready(self):
        """Wait for the pipes, and end the process that takes too long, prints too much or grows too large."""
        if self.over:
            raise self.over
        start = time.monotonic()
        events = [key for key, _ in self.loop.select(min(0.2, max(self.left, 0.01)))]
        now = time.monotonic()
        self.left -= now - start
        if now - self.looked > 0.25:
            self.looked = now
            if sandbox.memory(self.process.pid) > MEMORY:
                self._end("memory", f"the answer's processes took more than {MEMORY // 2 ** 30} GB")
        for key in events:
            if key.fileobj is self.process.stderr:
                part = os.read(key.fd, 1 << 16)
                self.printed += len(part)
                if not part:
                    self.loop.unregister(self.process.stderr)
        if self.printed > OUTPUT:
            self._end("output", f"it prints more than {OUTPUT // 2 ** 20} MB")
        if self.left <= 0:
            self._end("time", "no end in the time that an exercise has")
        return events

    def _end(self, verdict, hint):
        self.over = Ended(verdict, hint)
        sandbox.kill(self.process)
        raise self.over

    # ---- objects that do not cross ----

    def call(self, number, args, kwargs):
        """Call a function over there. Where inputs carry a gradient, it also flows back through the call."""
        message = self._ask(op="call", handle=number, value=[list(args), kwargs])
        value, leaves = message.get("value"), wire.learning([args, kwargs])
        outputs = wire.learning(value)
        if not (leaves and outputs and torch.is_grad_enabled()):
            return value
        made = iter(_Far.apply(self, message.get("call"), [tensor.detach() for tensor in outputs], *leaves))
        return _connected(value, made)

    def get(self, number, name):
        return self._ask(op="get", handle=number, name=name).get("value")

    def gradients(self, call, outputs, inputs):
        """The gradients of a call's inputs from those of its outputs. Shapes are checked: autograd trusts them."""
        got = self._ask(op="gradient", call=call, value=outputs).get("value")
        if not isinstance(got, list) or len(got) != len(inputs) or not all(
                grad is None or isinstance(grad, torch.Tensor) and grad.shape == one.shape and grad.dtype == one.dtype
                for grad, one in zip(got, inputs)):
            self._end("died", "the process sent gradients of another kind")
        return got

    def _ask(self, **message):
        """Send, do what the answer asks meanwhile, and return its reply."""
        self.send(**message)
        while True:
            message = self.receive()
            if message["op"] == "return":
                return message
            if message["op"] == "raise":
                raise raised(message)
            if message["op"] != "call":
                self._end("died", "the process said something out of turn")
            self._serve(message)

    def _serve(self, message):
        """The answer calls a function that the check gave it."""
        try:
            args, kwargs = message["value"]
            target = self.kept[message["handle"]]
        except (KeyError, IndexError, TypeError, ValueError):
            self._end("died", "the process said something out of turn")
        start = time.monotonic()
        try:
            self.send(op="return", value=target(*args, **kwargs))
        except Exception as error:
            self.send(op="raise", name=type(error).__name__, text=str(error)[:1000])
        self.left -= time.monotonic() - start

    def _keep(self, value, encode):
        """A function of the check's: the answer gets its number. A module of a known class crosses as its parts."""
        if isinstance(value, Remote):
            return ["mine", value.__dict__["_number"]]
        if name := wire.named(value):
            return ["named", name]
        if isinstance(value, torch.nn.Module) and (name := wire.named(type(value))):
            own = vars(torch.nn.Module()).keys() - {"training", "_non_persistent_buffers_set"}
            fields = {key: encode(part) for key, part in vars(value).items() if key not in own}
            parts = [{key: encode(part) for key, part in found.items()}
                     for found in (value._parameters, value._buffers, value._modules)]
            return ["module", name, fields, *parts]
        if not callable(value):
            raise TypeError(f"a {type(value).__name__} cannot be handed to an answer in another process")
        self.kept.append(value)
        return ["handle", len(self.kept) - 1, type(value).__name__, True, None]

    def _handle(self, number, *about):
        if not about:
            return self.kept[int(number)]
        name, called, signature = about
        return remote(self, int(number), name, called is True, signature)


def _gone(status):
    """What to say of a process that ended before its check did, with this exit status (negative: a signal)."""
    if status == ORDERLY:
        return Ended("ended", "")
    names = {-signal.SIGXCPU: ("time", "it used up the processor time of an exercise"),
             -signal.SIGSEGV: ("died", "the process crashed (segmentation fault)"),
             -signal.SIGKILL: ("died", "the process was killed: by its own code, or for want of memory")}
    status = status if isinstance(status, int) else None
    return Ended(*names.get(status, ("died", "the process was ended by this answer (exit or crash)")))


class _Far(torch.autograd.Function):
    """A call in another process as a step of autograd here."""

    @staticmethod
    def forward(ctx, channel, call, outputs, *inputs):
        ctx.channel, ctx.call, ctx.inputs = channel, call, [tensor.detach() for tensor in inputs]
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *gradients):
        return None, None, None, *ctx.channel.gradients(ctx.call, list(gradients), ctx.inputs)


def _connected(value, made):
    """The value with the tensors that carry a gradient replaced, in order, by those of `made`."""
    if isinstance(value, (list, tuple)):
        return type(value)(_connected(part, made) for part in value)
    if isinstance(value, dict):
        return {key: _connected(part, made) for key, part in value.items()}
    return next(made) if wire.learning(value) else value


class Remote:
    """An object of the answer's process. Its attributes are asked for; its type carries only its name."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._channel.get(self._number, name)

    def __setattr__(self, name, value):
        raise AttributeError(f"{name} cannot be set from here")


class RemoteFunction(Remote):
    """One that can be called."""

    def __call__(self, *args, **kwargs):
        return self._channel.call(self._number, args, kwargs)


def remote(channel, number, name, called, signature):
    """What stands for an object of the answer's process."""
    name = name if isinstance(name, str) and name.isidentifier() and len(name) < 60 else "object"
    made = type(name, (RemoteFunction if called else Remote,), {})()
    made.__dict__.update(_channel=channel, _number=number, __name__=name)
    if called and signature is not None:
        made.__dict__["__signature__"] = inspect.Signature([
            inspect.Parameter(str(parameter), inspect._ParameterKind(kind),
                              default=... if default else inspect.Parameter.empty)
            for parameter, kind, default in signature])
    return made


class AnswerError(Exception):
    """The answer raised something that is no exception of Python's own."""


def raised(message):
    """The exception that the answer raised: one of Python's own by name, and never a Hint."""
    name, base, text = (str(message.get(key, "")) for key in ("name", "base", "text"))
    kind = RAISED.get(name) or RAISED.get(base, AnswerError)
    error = kind(text)
    error.told = {"name": name, "text": text, "line": message.get("line")}
    return error
