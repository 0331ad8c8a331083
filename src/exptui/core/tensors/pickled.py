"""What `torch.save` pickled, as plain values: a small machine of its own reads the opcodes, and nothing is imported or called.

It knows the opcodes and names that a dictionary of tensors and numbers takes; at the first other one it stops.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exptui.core.tensors.contents import MAX_SIZE, NotRead, elements

MAX_STEPS = 4_000_000
MAX_OBJECTS = 1_000_000
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
SIZES = {
    **dict.fromkeys(("complex128",), 16),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1),
}
PATHS = ("pathlib PosixPath", "pathlib._local PosixPath", "pathlib PurePosixPath")
FLAT = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Name:
    """Something that is named and would be imported; here it stays a name."""

    text: str


@dataclass(frozen=True)
class Storage:
    """The bytes that tensors lie in, by the key of their member; `dtype` empty: they are only bytes."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class View:
    """A tensor: elements of a storage."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def span(self) -> int:
        """How many elements lie from its first to its last one."""
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return reach + 1 if elements(self.shape) else 0


class Table(dict[Any, Any]):
    """An OrderedDict or a Namespace; `state`: what was put beside its items."""

    def __init__(self) -> None:
        super().__init__()
        self.state: object = None


class _Mark:
    """Where a group of values on the stack begins."""


@dataclass
class Machine:
    """The stack and the memo."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    objects: int = 0

    def run(self, data: bytes) -> Any:
        """The value that was pickled.

        Raises:
            NotRead: damaged, or something beyond tensors, numbers, texts, lists and dictionaries.
        """
        try:
            for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
                if steps > MAX_STEPS or self.objects > MAX_OBJECTS:
                    raise NotRead("it holds too many objects")
                if opcode.name == "STOP":
                    (value,) = self.stack
                    return value
                self._step(opcode.name, argument)
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            OverflowError,
            struct.error,
        ) as error:
            raise NotRead(f"its pickle is damaged: {error}") from error
        raise NotRead("its pickle is cut off")

    def _step(self, name: str, argument: Any) -> None:
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.stack.append(_Mark())
            case "NONE":
                self.stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                self.stack.append(name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                self.stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE":
                self.stack.append(argument.encode("utf-8", errors="replace").decode())
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GLOBAL":
                self.stack.append(_name(argument))
            case "STACK_GLOBAL":
                second, first = self.stack.pop(), self.stack.pop()
                self.stack.append(_name(f"{first} {second}"))
            case _:
                self.objects += 1
                self._build(name)

    def _build(self, name: str) -> None:
        """The opcodes that make something."""
        stack = self.stack
        match name:
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                values = [stack.pop() for _ in range(int(name[-1]))]
                stack.append(tuple(reversed(values)))
            case "TUPLE":
                stack.append(tuple(self._group()))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments, made = stack.pop(), stack.pop()
                stack.append(_made(made, arguments, new=name == "NEWOBJ"))
            case _:
                self._fill(name)

    def _fill(self, name: str) -> None:
        """The opcodes that put something into what was made."""
        stack = self.stack
        match name:
            case "APPEND" | "SETITEM" | "BUILD":
                values = [stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
            case "APPENDS" | "SETITEMS":
                values = self._group()
            case _:
                raise NotRead(f"its pickle has {name}, which a file of tensors has no need of")
        match name, stack[-1]:
            case "BUILD", Table() as table:
                table.state = values[0]
            case "APPEND" | "APPENDS", list() as items:
                items.extend(values)
            case "SETITEM" | "SETITEMS", dict() as table:
                if not all(isinstance(key, FLAT) for key in values[::2]):
                    raise NotRead("it has a key that is neither a text nor a number")
                table.update(zip(values[::2], values[1::2], strict=True))
            case _:
                raise NotRead("its pickle fills what cannot be filled")

    def _group(self) -> list[Any]:
        """What lies above the last mark; both are taken off."""
        for at in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[at], _Mark):
                values = self.stack[at + 1 :]
                del self.stack[at:]
                return values
        raise ValueError("no mark")


def _name(text: str) -> Name:
    module, _, name = text.partition(" ")
    known = (
        text in ("collections OrderedDict", "argparse Namespace", "torch Size", "torch device", *PATHS)
        or (module == "torch._utils" and name in BUILDERS)
        or (module == "torch" and (name in STORAGES or name in SIZES))
        or text == "torch.storage UntypedStorage"
    )
    if not known:
        raise NotRead(f"it holds {module}.{name}")
    return Name(text)


def _storage(value: Any) -> Storage:
    match value:
        case ("storage", Name(text), str(key), str(_), int(count)) if 0 <= count < MAX_SIZE:
            name = text.rpartition(" ")[2]
            if name in STORAGES or name == "UntypedStorage":
                return Storage(key, STORAGES.get(name, ""), count)
    raise NotRead("it has a storage that is not described as it should be")


def _made(made: Any, arguments: Any, *, new: bool) -> Any:
    """What a call would give, for the few that are known."""
    match made, arguments:
        case Name("collections OrderedDict"), () if not new:
            return Table()
        case Name("argparse Namespace"), () if new:
            return Table()
        case Name("torch Size"), (tuple(shape),) if not new:
            return shape
        case Name("torch device"), (str(kind), *_) if not new:
            return kind
        case Name(text), tuple(parts) if text in PATHS and not new and all(isinstance(p, str) for p in parts):
            return "/".join(parts).replace("//", "/")
        case Name(text), tuple() if not new and text.startswith("torch._utils "):
            return BUILDERS[text.partition(" ")[2]](*arguments)
    raise NotRead("it makes an object in a way that is not read")


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any = None, *_: Any
) -> View:
    """As `_rebuild_tensor_v2`; what v3 adds is the type."""
    typed = isinstance(dtype, Name)
    name = dtype.text.rpartition(" ")[2] if typed else getattr(storage, "dtype", "")
    if not isinstance(storage, Storage) or name not in SIZES or (typed and storage.dtype not in ("", name)):
        raise NotRead("a tensor is not of a type that is read")
    steps = stride if isinstance(stride, tuple) else ()
    numbers = (offset, *steps)
    if (
        not isinstance(shape, tuple)
        or len(shape) != len(steps)
        or any(type(one) is not int or not 0 <= one < MAX_SIZE for one in numbers)
    ):
        raise NotRead("a tensor is not described as it should be")
    view = View(storage, name, offset, shape, steps)
    room = storage.count if storage.dtype else storage.count // SIZES[name]
    if offset + view.span > room:
        raise NotRead("a tensor reaches beyond its storage")
    return view


def _parameter(data: Any, _grad: Any, _hooks: Any) -> View:
    if not isinstance(data, View):
        raise NotRead("a parameter is no tensor")
    return data


BUILDERS: dict[str, Callable[..., View]] = {
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor,
    "_rebuild_parameter": _parameter,
}
"""What of `torch._utils` is understood."""
