"""Decoding untrusted files: limits of memory, the errors of decoders, and silencing their logs."""

import logging
import lzma
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MAX_DECODED_BYTES = 256 << 20

# A damaged file makes codecs and parsers fail in any of these ways: imagecodecs derives from
# RuntimeError, parsers stumble over missing tags (LookupError, AttributeError, TypeError),
# sizes of nonsense end in ArithmeticError or MemoryError, Pillow raises SyntaxError for PNG.
_DECODER_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, lzma.LZMAError, struct.error, zlib.error, Image.DecompressionBombError),
)
_WARNINGS = threading.Lock()


class DecodeError(ValueError):
    """The content of a file cannot be decoded; the message says what the decoder found."""


@contextmanager
def decoding() -> Iterator[None]:
    """Turn whatever a third-party decoder raises into a DecodeError.

    Only the library's call belongs inside: a mistake of our own would be called a damaged file.
    """
    try:
        yield
    except DecodeError:
        raise
    except _DECODER_ERRORS as error:
        raise DecodeError(f"{type(error).__name__}: {error!s:.200}") from error


@contextmanager
def parsing(*libraries: str) -> Iterator[None]:
    """Turn what the named packages raise into a DecodeError, and let an error of any other code pass.

    For code in which every attribute may make a library read the file on, so that its calls cannot be
    wrapped one by one: the innermost frame tells whose error it is.  The standard library counts as theirs.
    """
    try:
        yield
    except DecodeError:
        raise
    except _DECODER_ERRORS as error:
        package = _raised_in(error)
        if package not in libraries and package not in sys.stdlib_module_names:
            raise
        raise DecodeError(f"{type(error).__name__}: {error!s:.200}") from error


def _raised_in(error: BaseException) -> str:
    """Return the package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name: str = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return name.partition(".")[0]


@contextmanager
def silence_tifffile() -> Iterator[None]:
    """Keep tifffile from logging in this thread: what it finds ends in one message or does not matter."""
    thread, logger = threading.get_ident(), logging.getLogger("tifffile")

    def is_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(is_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(is_elsewhere)


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Hide Python's warnings about a damaged header; one thread at a time, since the filters are global."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
