"""Weights of a torch file as safetensors, without running what the file says.

A ``.pth`` is a zip archive of numbers and a program that puts them together.  torch's own
restricted reader of it was broken twice (CVE-2025-32434, CVE-2026-24747).  Here the program
is only read: a few of its instructions make lists, dictionaries and descriptions of tensors,
and any other instruction, function or class ends the conversion.
"""

import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_pathseg.errors import BundleError
from napari_pathseg.storage.atomic import replace_file

_DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_DICT, _TENSOR = "collections.OrderedDict", "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_NESTS = ("state_dict", "model_state_dict", "model")
_LONGEST_PROGRAM = 64 << 20  # bytes
_MOST_COPIES = 4  # of the file's size: tensors may share numbers
_DAMAGE = (AttributeError, LookupError, TypeError, ValueError, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Known:
    """A function or class that the program names, and that has a meaning here."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Where numbers lie in the archive."""

    dtype: torch.dtype
    key: str


@dataclass(frozen=True)
class _View:
    """A tensor: a storage, and which of its numbers."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def convert_weights(source: Path, target: Path) -> None:
    """Write the tensors of a torch file as a safetensors file.

    Parameters
    ----------
    source
        A ``.pth`` or ``.pt`` of `torch.save`: a dictionary of tensors, or one that holds such
        a dictionary as "state_dict", "model_state_dict" or "model".
    target
        The ``.safetensors`` file to write.

    Raises
    ------
    BundleError
        If the file is of the form before torch 1.6, damaged, or holds more than tensors,
        dictionaries, lists, numbers and texts; nothing in it is run.
    ProjectError
        If `target` cannot be written.
    """
    if target.suffix != ".safetensors":
        raise BundleError(f"{target} does not end in .safetensors. Give it that ending.")
    tensors = read_torch_file(source)
    with replace_file(target) as partial:
        save_file(tensors, partial)


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a torch file by name; see `convert_weights` for errors."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive, path)
            tree = _Reader(path).read(_member(archive, f"{root}data.pkl", path, _LONGEST_PROGRAM))
            return _materialize(_find_tensors(tree, path), archive, root, path)
    except zipfile.BadZipFile as error:
        raise BundleError(
            f"{path} is no torch file, or one from before torch 1.6, which cannot be read without running it. "
            "Where you trust it, load it with torch and save it again, then convert that."
        ) from error
    except OSError as error:
        raise BundleError(f"{path} could not be read: {error.strerror or error}. Check its name.") from error
    except (*_DAMAGE, zlib.error) as error:
        raise BundleError(f"{path} is damaged ({error}). Fetch it again.") from error


def _root(archive: zipfile.ZipFile, path: Path) -> str:
    programs = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(programs) != 1:
        raise BundleError(f"{path} is a zip archive, but not one of torch.save. Give a file of weights.")
    return programs[0].removesuffix("data.pkl")


def _member(archive: zipfile.ZipFile, name: str, path: Path, limit: int) -> bytes:
    """Return a file of the archive, which torch never compresses; so none is larger than the archive."""
    found = archive.getinfo(name)
    if found.compress_type != zipfile.ZIP_STORED or found.file_size > limit:
        raise BundleError(f"{path} is not as torch.save writes it: {name} is compressed or too large. Fetch it again.")
    return archive.read(found)


def _find_tensors(tree: object, path: Path) -> dict[str, _View]:
    """Return the dictionary's tensors, or those of the dictionary in it that holds the weights."""
    for candidate in (tree, *(tree.get(nest) for nest in _NESTS if isinstance(tree, dict))):
        if isinstance(candidate, dict):
            views = {name: view for name, view in candidate.items() if isinstance(view, _View)}
            if views and all(isinstance(name, str) for name in views):
                return views
    raise BundleError(f"{path} holds no tensors by name. Save the state_dict() of its model, then convert that.")


def _materialize(views: dict[str, _View], archive: zipfile.ZipFile, root: str, path: Path) -> dict[str, Tensor]:
    """Read the numbers of all tensors; each has its own copy."""
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise BundleError(f"{path} was saved on a big-endian machine. Save it on another one, then convert that.")
    size = path.stat().st_size
    if sum(abs(math.prod(view.size)) * view.storage.dtype.itemsize for view in views.values()) > _MOST_COPIES * size:
        raise BundleError(f"{path} describes tensors that are much larger than itself. Fetch it again.")
    tensors = {}
    for name, view in views.items():
        content = _member(archive, f"{root}data/{view.storage.key}", path, size)
        numbers = torch.frombuffer(bytearray(content), dtype=view.storage.dtype) if content else torch.empty(0)
        tensors[name] = _look(numbers, view).to(view.storage.dtype).clone(memory_format=torch.contiguous_format)
    return tensors


def _look(numbers: Tensor, view: _View) -> Tensor:
    """Return a tensor of some of a storage's numbers, none of them beside it."""
    fits = len(view.size) == len(view.stride) and min((view.offset, *view.size, *view.stride)) >= 0
    count = math.prod(view.size) if fits else 0
    reach = view.offset + sum((side - 1) * step for side, step in zip(view.size, view.stride, strict=True))
    if not fits or count > len(numbers) or (count and reach >= len(numbers)):
        raise ValueError("a tensor reaches beyond its numbers")
    return numbers.as_strided(view.size, view.stride, view.offset)


class _Reader:
    """Follows the program of a torch file as far as it only puts tensors into dictionaries."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.steps: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.marks.append(len(self.stack)),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "NONE": lambda: self.stack.append(None),
            "NEWTRUE": lambda: self.stack.append(True),
            "NEWFALSE": lambda: self.stack.append(False),
            "TUPLE": lambda: self.stack.append(tuple(self._since_mark())),
            "TUPLE1": lambda: self.stack.append(self._last(1)),
            "TUPLE2": lambda: self.stack.append(self._last(2)),
            "TUPLE3": lambda: self.stack.append(self._last(3)),
            "APPEND": lambda: self._extend(self._last(1)),
            "APPENDS": lambda: self._extend(self._since_mark()),
            "SETITEM": lambda: self._set(self._last(2)),
            "SETITEMS": lambda: self._set(self._since_mark()),
            "MEMOIZE": lambda: self._remember(len(self.memo)),
            "STACK_GLOBAL": lambda: self._name(".".join(self._last(2))),
            "REDUCE": self._make,
            "BUILD": self._ignore_state,
            "BINPERSID": self._storage,
        }

    def read(self, program: bytes) -> object:
        """Return what the program describes."""
        for code, value, _ in pickletools.genops(program):
            self._step(code.name, value)
        (result,) = self.stack
        return result

    def _step(self, code: str, value: Any) -> None:
        if code in self.steps:
            self.steps[code]()
        elif code in _CONSTANTS:
            self.stack.append(value)
        elif code in ("BINPUT", "LONG_BINPUT"):
            self._remember(value)
        elif code in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[value])
        elif code == "GLOBAL":
            self._name(value.replace(" ", "."))
        elif code not in ("PROTO", "FRAME", "STOP"):
            self._refuse(f"the instruction {code}")

    def _refuse(self, what: str) -> None:
        raise BundleError(
            f"{self.path} asks for {what}, which is more than tensors, so it is not converted. "
            "Where you trust it, save the state_dict() of its model alone, then convert that."
        )

    def _remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def _last(self, count: int) -> tuple[Any, ...]:
        taken = tuple(self.stack[-count:])
        if len(taken) != count:
            raise IndexError("its program ends early")
        del self.stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        taken = self.stack[mark:]
        del self.stack[mark:]
        return taken

    def _extend(self, items: tuple[Any, ...] | list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            self._refuse("an addition to what is no list")
        self.stack[-1].extend(items)

    def _set(self, items: tuple[Any, ...] | list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, str | int) for key in items[::2]):
            self._refuse("a dictionary whose keys are neither texts nor numbers")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _name(self, name: str) -> None:
        if name not in (*_DTYPES, _DICT, _TENSOR, _PARAMETER):
            self._refuse(name)
        self.stack.append(_Known(name))

    def _storage(self) -> None:
        kind, storage, key, _location, _count = self.stack.pop()
        if kind != "storage" or not isinstance(key, str):
            raise ValueError("an unknown kind of storage")
        self.stack.append(_Storage(_DTYPES[storage.name], key))

    def _make(self) -> None:
        function, arguments = self._last(2)
        made: object = None
        if function == _Known(_DICT) and arguments == ():
            made = {}
        elif function == _Known(_TENSOR):
            storage, offset, size, stride = arguments[:4]
            if not isinstance(storage, _Storage):
                raise ValueError("a tensor without a storage")
            made = _View(storage, offset, tuple(size), tuple(stride))
        elif function == _Known(_PARAMETER):
            made = arguments[0]
        else:
            self._refuse(f"a call of {getattr(function, 'name', function)!r}")
        self.stack.append(made)

    def _ignore_state(self) -> None:
        """Leave out what torch notes on a dictionary beside its entries."""
        made, state = self._last(2)
        if not isinstance(made, dict) or not isinstance(state, dict):
            self._refuse("the state of an unknown thing")
        self.stack.append(made)


_CONSTANTS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
