"""Decode untrusted files: a limit on memory, the errors of decoders, and silencing their logs."""

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

# Codecs and parsers fail on damaged files in any of these ways: imagecodecs derives from
# RuntimeError, missing tags raise LookupError, AttributeError or TypeError, nonsensical sizes
# ArithmeticError or MemoryError, and Pillow raises SyntaxError for PNG.
_DECODER_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, lzma.LZMAError, struct.error, zlib.error, Image.DecompressionBombError),
)
_WARNINGS = threading.Lock()


class DecodeError(ValueError):
    """The content of a file cannot be decoded; the message says what the decoder found."""


@contextmanager
def decoding() -> Iterator[None]:
    """Turn any error of a third-party decoder into a DecodeError.

    Put only the library's call inside: a bug of ours would be reported as a damaged file.
    """
    try:
        yield
    except DecodeError:
        raise
    except _DECODER_ERRORS as error:
        raise DecodeError(f"{type(error).__name__}: {error!s:.200}") from error


@contextmanager
def parsing(*libraries: str) -> Iterator[None]:
    """Turn errors raised in the named packages into a DecodeError, and let errors of other code pass.

    For code in which any attribute access may make a library read more of the file, so that its calls
    cannot be wrapped one by one.  The innermost frame decides in which package an error was raised; the
    standard library counts as named.
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
    """Return the name of the package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name: str = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return name.partition(".")[0]


@contextmanager
def silence_tifffile() -> Iterator[None]:
    """Suppress the log records of tifffile in this thread: they end in one message of ours or do not matter."""
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
    """Suppress warnings about a damaged header; one thread at a time, since the filters are global."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
