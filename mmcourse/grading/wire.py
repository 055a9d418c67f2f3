"""What crosses between the grader and an answer's process: JSON for plain values, safetensors for tensors, no pickle.

A message is two lengths (8 bytes each), a JSON text and a safetensors block. Values in the JSON are themselves if they are
None, bool, int, float or str, and else a list [kind, ...]. A function or any other object does not cross: it stays where
it is, and the other side gets its number, a handle. Both sides use this file;
the answer's side has nothing else of the grader but child.py.
"""

import dataclasses
import importlib
import json
import struct
import sys

LIMIT = 64 * 2 ** 20                      # bytes of either part of a message
HEADER = struct.Struct("<QQ")
PLAIN = type(None), bool, int, float, str
DATA = "mmcourse.world."                  # records of these modules cross as their fields, both ways
KNOWN = "torch.", "mmcourse."             # modules of these packages can be built anew, from the grader to the answer only


class Garbled(Exception):
    """Bytes that are no message of this protocol."""


class TooLarge(ValueError):
    """A value of more bytes than cross."""


def pack(message, keep):
    """The bytes of a message, a dict of plain values in which "value" may be anything; keep(object) gives a handle."""
    tensors, message = {}, dict(message)
    if "value" in message:
        message["value"] = _encode(message["value"], tensors, keep)
    text = json.dumps(message).encode()
    block = b""
    if tensors:
        from safetensors.torch import save
        block = save(tensors)
    if max(len(text), len(block)) > LIMIT:
        raise TooLarge(f"more than {LIMIT // 2 ** 20} MB")
    return HEADER.pack(len(text), len(block)) + text + block


def unpack(text, block, handle, build=None):
    """The message of two parts. handle(kind, ...) makes what stands for an object of the other side. `build`,
    which only the answer's side has, is two functions: one makes a module of its parts, one imports a name.

    Raises Garbled for anything that pack() does not write.
    """
    try:
        message = json.loads(text)
        tensors = {}
        if block:
            from safetensors.torch import load
            tensors = load(block)
        if "value" in message:
            message["value"] = _Decoder(tensors, handle, build).decode(message["value"])
        return message
    except Garbled:
        raise
    except Exception as error:
        raise Garbled(f"{type(error).__name__}: {error}") from None


def learning(value):
    """The tensors in a value, lists and dicts included, that carry a gradient: in the same order on both sides."""
    if isinstance(value, (list, tuple)):
        return [tensor for part in value for tensor in learning(part)]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in learning(part)]
    return [value] if getattr(value, "requires_grad", False) is True else []


def _tensor(value, tensors):
    """The place of a tensor in the block. safetensors has no complex numbers: they cross as pairs."""
    name = str(len(tensors))
    tensors[name] = value.contiguous().clone()
    return name


def _encode(value, tensors, keep):
    kind = type(value)
    if isinstance(value, (str, bytes)) and len(value) > LIMIT:
        raise TooLarge(f"more than {LIMIT // 2 ** 20} MB")
    if kind in PLAIN:
        return value
    for base, plain in ((bool, bool), (int, int), (float, float), (str, str)):
        if isinstance(value, base):
            return plain(value)
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch and isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized:
        plain = value.detach().resolve_conj().resolve_neg().cpu().as_subclass(torch.Tensor)
        if plain.is_complex():
            return ["complex", _tensor(torch.view_as_real(plain), tensors), bool(value.requires_grad)]
        return ["tensor", _tensor(plain, tensors), bool(value.requires_grad)]
    if numpy and isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype.kind in "biuf":
        scalar = isinstance(value, numpy.generic)
        return ["array", _tensor(torch.from_numpy(numpy.array(value)), tensors), scalar]

    def encode(part):
        return _encode(part, tensors, keep)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__.startswith(DATA) and "<" not in name:
        if dataclasses.is_dataclass(value):
            fields = [field.name for field in dataclasses.fields(value) if field.init]
            return ["data", name, {field: encode(getattr(value, field)) for field in fields}]
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return ["data", name, {field: encode(getattr(value, field)) for field in kind._fields}]
    for base in (list, tuple, set, frozenset):
        if isinstance(value, base):
            return [base.__name__, [encode(part) for part in value]]
    if isinstance(value, dict):
        return ["dict", [[encode(key), encode(part)] for key, part in value.items()]]
    if isinstance(value, range):
        return ["range", [value.start, value.stop, value.step]]
    if isinstance(value, slice):
        return ["slice", [encode(value.start), encode(value.stop), encode(value.step)]]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", value.hex()]
    if torch and isinstance(value, (torch.dtype, torch.device)):
        return [type(value).__name__, str(value).removeprefix("torch.")]
    image = sys.modules.get("PIL.Image")
    if image and isinstance(value, image.Image):
        picture = value if value.mode in ("RGB", "RGBA", "L") else value.convert("RGB")
        return ["image", _tensor(torch.from_numpy(numpy.array(picture)), tensors), picture.mode]
    return keep(value, encode)


class _Decoder:
    def __init__(self, tensors, handle, build):
        self.tensors, self.handle, self.build = tensors, handle, build

    def decode(self, tree):
        if type(tree) in PLAIN:
            return tree
        if type(tree) is not list or not tree or type(tree[0]) is not str:
            raise Garbled("a value of no known kind")
        kind, *parts = tree
        method = getattr(self, f"_{kind}", None)
        if method is None:
            raise Garbled("a value of no known kind")
        return method(*parts)

    def _tensor(self, name, grad):
        tensor = self.tensors[name]
        return tensor.requires_grad_() if grad is True and tensor.is_floating_point() else tensor

    def _complex(self, name, grad):
        import torch
        return torch.view_as_complex(self.tensors[name]).requires_grad_(grad is True)

    def _array(self, name, scalar):
        array = self.tensors[name].numpy()
        return array[()] if scalar else array

    def _image(self, name, mode):
        from PIL import Image
        return Image.fromarray(self.tensors[name].numpy(), mode if mode in ("RGB", "RGBA", "L") else None)

    def _data(self, name, fields):
        return _record(name)(**{str(field): self.decode(part) for field, part in fields.items()})

    def _list(self, parts):
        return [self.decode(part) for part in parts]

    def _tuple(self, parts):
        return tuple(self._list(parts))

    def _set(self, parts):
        return set(self._list(parts))

    def _frozenset(self, parts):
        return frozenset(self._list(parts))

    def _dict(self, parts):
        return {self.decode(key): self.decode(part) for key, part in parts}

    def _range(self, ends):
        return range(*map(int, ends))

    def _slice(self, ends):
        return slice(*self._list(ends))

    def _bytes(self, text):
        return bytes.fromhex(text)

    def _dtype(self, name):
        import torch
        return next(kind for kind in vars(torch).values() if isinstance(kind, torch.dtype) and str(kind) == f"torch.{name}")

    def _device(self, name):
        import torch
        return torch.device("cpu")

    def _handle(self, *parts):
        return self.handle(*parts)

    def _mine(self, number):
        return self.handle(number)

    def _module(self, *parts):
        if self.build is None:
            raise Garbled("a module cannot cross in this direction")
        return self.build[0](self, *parts)

    def _named(self, name):
        if self.build is None:
            raise Garbled("a name cannot cross in this direction")
        return self.build[1](name)


def _record(name):
    """The record class `module:Name` of the world. Nothing else can be named."""
    module, _, cls = name.partition(":")
    found = getattr(importlib.import_module(module), cls) if module.startswith(DATA) and cls.isidentifier() else None
    if not isinstance(found, type) or found.__module__ != module \
            or not (dataclasses.is_dataclass(found) or issubclass(found, tuple) and hasattr(found, "_fields")):
        raise Garbled("a record of no known kind")
    return found


def named(value):
    """"package.module:name" of a class or function that can be imported by that name, else None."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not f"{module}.".startswith(KNOWN) \
            or f"{module}.".startswith(("mmcourse.checks.", "mmcourse.grading.", "mmcourse.authoring.")):
        return None
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is value else None
