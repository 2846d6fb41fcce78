"""What decoders of strangers' files may cost, how they fail, and how they are kept quiet."""

import logging
import lzma
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MAXIMUM_DECODED_BYTES = 256 << 20

# A damaged file makes codecs and parsers fail in any of these ways: imagecodecs derives from
# RuntimeError, parsers stumble over missing tags (LookupError, AttributeError, TypeError),
# sizes of nonsense end in ArithmeticError or MemoryError, Pillow raises SyntaxError for PNG.
DECODER_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, lzma.LZMAError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

_WARNINGS = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep tifffile from logging in this thread: what it finds ends in one message or does not matter."""
    thread, logger = threading.get_ident(), logging.getLogger("tifffile")

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


@contextmanager
def no_warnings() -> Iterator[None]:
    """Keep Python's warnings of a damaged header from the user; one thread at a time, as they are everybody's."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
