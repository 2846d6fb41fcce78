"""Convert the weights of a torch file to safetensors without executing code from it.

A ``.pth`` is a zip archive of a pickled program and raw numbers.  torch's own restricted unpickler was
broken twice (CVE-2025-32434, CVE-2026-24747).  Here the pickled program is interpreted, never executed:
a few opcodes build lists, dictionaries and descriptions of tensors; any other opcode, function
or class ends the conversion.
"""

import math
import pickletools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_pathseg.errors import BundleError
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.regular_files import open_regular
from napari_pathseg.storage.untrusted import DecodeError, decoding

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
_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model")
_CONSTANTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_MAX_PICKLE_BYTES = 64 << 20
_MAX_EXPANSION = 4  # tensors may share a storage, and each is written whole: at most this many times the file's size
_MAX_DIMENSIONS = 64  # as in torch
_MAX_ELEMENTS = 2**63  # torch counts in int64


@dataclass(frozen=True)
class _Global:
    """A function or class named by the pickled program, from the few that are supported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A file of raw numbers in the archive."""

    dtype: torch.dtype
    key: str


@dataclass(frozen=True)
class _TensorView:
    """A tensor as the pickled program describes it: a strided view of a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def convert_weights(source: Path, target: Path) -> None:
    """Write the tensors of a torch file as a safetensors file.

    Parameters
    ----------
    source
        A ``.pth`` or ``.pt`` of `torch.save`: a dictionary of tensors, or a dictionary that
        contains it as "state_dict", "model_state_dict" or "model".
    target
        The ``.safetensors`` file to write.

    Raises
    ------
    BundleError
        If the file has the format from before torch 1.6, is damaged, or contains more than
        tensors, dictionaries, lists, numbers and strings.  No code in it is executed.
    ProjectError
        If `target` cannot be written.
    """
    if target.suffix != ".safetensors":
        raise BundleError(f"{target} does not end in .safetensors. Give it that suffix.")
    tensors = read_torch_file(source)
    with replace_file(target) as partial:
        save_file(tensors, partial)


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a torch file by name; see `convert_weights` for errors."""
    try:
        with open_regular(path) as file, _open_archive(file, path) as archive:
            root = _find_root(archive, path)
            content = _PickleReader(path).read(_read_member(archive, f"{root}data.pkl", path, _MAX_PICKLE_BYTES))
            return _read_tensors(_find_tensors(content, path), archive, root, path)
    except OSError as error:
        raise BundleError(f"{path} could not be read: {error.strerror or error}. Check its name.") from error
    except DecodeError as error:
        raise BundleError(f"{path} is damaged ({error}). Download or copy it again.") from error


def _open_archive(file: BinaryIO, path: Path) -> zipfile.ZipFile:
    with _reading_archive():
        is_archive = zipfile.is_zipfile(file)
    if not is_archive:
        raise BundleError(
            f"{path} is not a torch file, or has the format from before torch 1.6, which cannot be read without "
            "executing code. If you trust it, load it with torch and save it again, then convert that."
        )
    with _reading_archive():
        return zipfile.ZipFile(file)


@contextmanager
def _reading_archive() -> Iterator[None]:
    """Turn what zipfile raises for a damaged archive into a DecodeError."""
    with decoding():
        try:
            yield
        except zipfile.BadZipFile as error:
            raise DecodeError(str(error)) from error


def _find_root(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the folder of the archive, with its slash, that contains the pickled program."""
    pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise BundleError(f"{path} is a zip archive, but was not written by torch.save. Give a file of weights.")
    return pickles[0].removesuffix("data.pkl")


def _read_member(archive: zipfile.ZipFile, name: str, path: Path, max_bytes: int) -> bytes:
    """Return a file of the archive; torch never compresses one, so none can be larger than the archive."""
    with _reading_archive():
        info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > max_bytes:
        raise BundleError(
            f"{path} was not written by torch.save: {name} is compressed or too large. Download or copy it again."
        )
    with _reading_archive():
        return archive.read(info)


def _find_tensors(content: object, path: Path) -> dict[str, _TensorView]:
    """Return the tensors of the dictionary, or of the nested dictionary that contains the weights."""
    for candidate in (content, *(content.get(key) for key in _WEIGHT_KEYS if isinstance(content, dict))):
        if isinstance(candidate, dict):
            views = {name: view for name, view in candidate.items() if isinstance(view, _TensorView)}
            if views and all(isinstance(name, str) for name in views):
                _check_names(views)
                return views
    raise BundleError(f"{path} contains no named tensors. Save the state_dict() of its model, then convert that.")


def _check_names(names: Iterable[str]) -> None:
    """Raise DecodeError for a name that safetensors cannot store: a lone surrogate, or its own reserved name."""
    for name in names:
        if name == "__metadata__" or any("\ud800" <= character <= "\udfff" for character in name):
            raise DecodeError(f"a tensor is named {name!r}")


def _read_tensors(views: dict[str, _TensorView], archive: zipfile.ZipFile, root: str, path: Path) -> dict[str, Tensor]:
    """Read every tensor into memory of its own."""
    size = path.stat().st_size
    if f"{root}byteorder" in archive.namelist() and _read_member(archive, f"{root}byteorder", path, size) != b"little":
        raise BundleError(f"{path} was saved on a big-endian machine. Save it on another one, then convert that.")
    if sum(math.prod(view.size) * view.storage.dtype.itemsize for view in views.values()) > _MAX_EXPANSION * size:
        raise BundleError(f"{path} describes tensors that are much larger than itself. Download or copy it again.")
    return {
        name: _read_tensor(view, _read_member(archive, f"{root}data/{view.storage.key}", path, size))
        for name, view in views.items()
    }


def _read_tensor(view: _TensorView, content: bytes) -> Tensor:
    """Copy the elements of a view out of its storage.

    Raises
    ------
    DecodeError
        If the view reaches beyond its storage.
    """
    dtype = view.storage.dtype
    available, rest = divmod(len(content), dtype.itemsize)
    last = view.offset + sum((side - 1) * step for side, step in zip(view.size, view.stride, strict=True))
    count = math.prod(view.size)
    if rest or count > available or (count and last >= available):
        raise DecodeError("a tensor reaches beyond its storage")
    if not count:
        return torch.empty(view.size, dtype=dtype)
    numbers = torch.frombuffer(bytearray(content), dtype=dtype)
    return numbers.as_strided(view.size, view.stride, view.offset).clone(memory_format=torch.contiguous_format)


class _PickleReader:
    """Interprets the pickled program of a torch file as far as it only puts tensors into dictionaries.

    A pickled program that no pickler writes raises DecodeError; one that contains more than tensors, BundleError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.opcodes: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.marks.append(len(self.stack)),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "NONE": lambda: self.stack.append(None),
            "NEWTRUE": lambda: self.stack.append(True),
            "NEWFALSE": lambda: self.stack.append(False),
            "TUPLE": lambda: self.stack.append(self._pop_to_mark()),
            "TUPLE1": lambda: self.stack.append(self._pop(1)),
            "TUPLE2": lambda: self.stack.append(self._pop(2)),
            "TUPLE3": lambda: self.stack.append(self._pop(3)),
            "APPEND": lambda: self._extend(self._pop(1)),
            "APPENDS": lambda: self._extend(self._pop_to_mark()),
            "SETITEM": lambda: self._set_items(self._pop(2)),
            "SETITEMS": lambda: self._set_items(self._pop_to_mark()),
            "MEMOIZE": lambda: self._memoize(len(self.memo)),
            "STACK_GLOBAL": self._push_stack_global,
            "REDUCE": self._reduce,
            "BUILD": self._ignore_state,
            "BINPERSID": self._push_storage,
        }

    def read(self, program: bytes) -> object:
        """Return what the pickled program describes."""
        for opcode, argument in _disassemble(program):
            self._interpret(opcode, argument)
        (content,) = self._pop(1)
        return content

    def _interpret(self, opcode: str, argument: Any) -> None:
        if opcode in self.opcodes:
            self.opcodes[opcode]()
        elif opcode in _CONSTANTS:
            self.stack.append(argument)
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self._memoize(argument)
        elif opcode in ("BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise DecodeError("its data.pkl refers to an object that it does not contain")
            self.stack.append(self.memo[argument])
        elif opcode == "GLOBAL":
            self._push_global(argument.replace(" ", "."))
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            raise self._unsupported(f"the instruction {opcode}")

    def _unsupported(self, what: str) -> BundleError:
        return BundleError(
            f"{self.path} asks for {what}, which is more than tensors, so it is not converted. "
            "If you trust it, save only the state_dict() of its model, then convert that."
        )

    def _top(self) -> Any:
        if not self.stack:
            raise DecodeError("its data.pkl ends early")
        return self.stack[-1]

    def _pop(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise DecodeError("its data.pkl ends early")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def _pop_to_mark(self) -> tuple[Any, ...]:
        if not self.marks:
            raise DecodeError("its data.pkl has no mark where one is needed")
        mark = self.marks.pop()
        items = tuple(self.stack[mark:])
        del self.stack[mark:]
        return items

    def _memoize(self, index: int) -> None:
        self.memo[index] = self._top()

    def _extend(self, items: Sequence[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise self._unsupported("an addition to something other than a list")
        target.extend(items)

    def _set_items(self, items: Sequence[Any]) -> None:
        target, keys, values = self._top(), items[::2], items[1::2]
        if not isinstance(target, dict) or not all(isinstance(key, str | int) for key in keys):
            raise self._unsupported("a dictionary whose keys are neither strings nor whole numbers")
        if len(keys) != len(values):
            raise DecodeError("its data.pkl has a key without a value")
        target.update(zip(keys, values, strict=True))

    def _push_stack_global(self) -> None:
        module, name = self._pop(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise DecodeError("its data.pkl names a function by something other than a string")
        self._push_global(f"{module}.{name}")

    def _push_global(self, name: str) -> None:
        if name not in (*_DTYPES, _DICT, _TENSOR, _PARAMETER):
            raise self._unsupported(name)
        self.stack.append(_Global(name))

    def _push_storage(self) -> None:
        match self._pop(1)[0]:
            case ("storage", _Global(name), str(key), _, _) if name in _DTYPES:
                self.stack.append(_Storage(_DTYPES[name], key))
            case _:
                raise DecodeError("a storage of an unknown kind")

    def _reduce(self) -> None:
        function, arguments = self._pop(2)
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise self._unsupported("a call of something other than a function")
        match function.name, arguments:
            case name, () if name == _DICT:
                self.stack.append({})
            case name, (_Storage() as storage, offset, size, stride, *_) if name == _TENSOR:
                self.stack.append(_describe_tensor(storage, offset, size, stride))
            case name, (parameter, *_) if name == _PARAMETER:
                self.stack.append(parameter)
            case name, _ if name in (_TENSOR, _PARAMETER):
                raise DecodeError("a tensor without a storage")
            case name, _:
                raise self._unsupported(f"a call of {name!r}")

    def _ignore_state(self) -> None:
        """Skip the attributes that torch notes on a dictionary besides its entries."""
        target, state = self._pop(2)
        if not isinstance(target, dict) or not isinstance(state, dict):
            raise self._unsupported("the state of an unknown object")
        self.stack.append(target)


def _disassemble(program: bytes) -> Iterator[tuple[str, Any]]:
    """Yield each opcode and its argument.

    What the consumer raises never passes through a generator, so only the disassembler's errors are converted.
    """
    with decoding():
        for opcode, argument, _ in pickletools.genops(program):
            yield opcode.name, argument


def _describe_tensor(storage: _Storage, offset: Any, size: Any, stride: Any) -> _TensorView:
    if not isinstance(size, tuple | list) or not isinstance(stride, tuple | list):
        raise DecodeError("a tensor without a shape")
    if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
        raise DecodeError("a tensor of an impossible shape")
    if not all(type(value) is int and 0 <= value < _MAX_ELEMENTS for value in (offset, *size, *stride)):
        raise DecodeError("a tensor whose shape is not made of whole numbers")
    if math.prod(side or 1 for side in size) >= _MAX_ELEMENTS:
        raise DecodeError("a tensor of more elements than torch can count")
    return _TensorView(storage, offset, tuple(size), tuple(stride))
