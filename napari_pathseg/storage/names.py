"""Names of files: what every system can store, how any name is shown in a line of text, and what names tell."""

import hashlib
import unicodedata
from pathlib import Path

PROJECT_FILE = "project.json"  # in the folder of a project

# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
_FORBIDDEN = frozenset('<>:"/\\|?*')
_MAX_NAME_BYTES = 160  # of 255, as temporary names of files are longer by up to 80
# Control characters, lone surrogates, and separators of lines; of format characters those that reorder text.
_NOT_SHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def safe_name(name: str) -> str:
    r"""Return `name`, or the closest name that a file can have on every system and that is shown as it is.

    Windows reserves some names whatever their suffix, drops dots and spaces at the end, and forbids
    a few characters.  Names of files have at most 255 bytes; a longer name than `_MAX_NAME_BYTES` ends with a
    hash of it, so that suffixes can be added and two long names stay different.

    >>> safe_name("liver"), safe_name("con.tif"), safe_name("a?."), safe_name("AUX"), safe_name("a\n\udce9")
    ('liver', 'con_.tif', 'a__', 'AUX_', 'a__')
    """
    given = name
    name = "".join("_" if letter in _FORBIDDEN or _is_hidden(letter) else letter for letter in name)
    if len(name.encode()) > _MAX_NAME_BYTES:
        mark = "~" + hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()[:8]
        name = name.encode()[: _MAX_NAME_BYTES - len(mark)].decode(errors="ignore") + mark
    kept = name.rstrip(". ")
    name = kept + "_" * (len(name) - len(kept)) if kept != name else name
    stem, dot, suffix = name.partition(".")
    return f"{stem}_{dot}{suffix}" if stem.rstrip(" ").casefold() in _RESERVED else name


def printable(text: str) -> str:
    r"""Return a text as one line that a terminal or a label shows as it is.

    What would move the cursor, break the line or reorder it is written as an escape sequence; so is a byte of a
    file name that is not UTF-8.

    >>> printable("Müller\n\x1b[31m\udce9.tif")
    'Müller\\n\\x1b[31m\\xe9.tif'
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def is_project(folder: Path) -> bool:
    """Return whether a folder is a project."""
    return (folder / PROJECT_FILE).is_file()


def mask_stems(stem: str) -> tuple[str, str]:
    """Return what the label image of a slide is called: ``a_mask``, and ``mask_a``."""
    return f"{stem}_mask", f"mask_{stem}"


def stems_of_mask(stem: str) -> tuple[str, ...]:
    """Return the names of the slides whose label image is called `stem`, in whatever case; none if it names no mask.

    >>> stems_of_mask("a_mask"), stems_of_mask("Mask_a"), stems_of_mask("a")
    (('a',), ('a',), ())
    """
    given = stem.lower()
    found = [stem[: -len("_mask")]] if given.endswith("_mask") else []
    return (*found, stem[len("mask_") :]) if given.startswith("mask_") else tuple(found)


def _is_hidden(letter: str) -> bool:
    return unicodedata.category(letter) in _NOT_SHOWN or letter in _REORDERING


def _shown(letter: str) -> str:
    if not _is_hidden(letter):
        return letter
    if "\udc80" <= letter <= "\udcff":  # a byte of a name that is not UTF-8, as Python decodes it
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
