"""What a crash of the window leaves: the stack of each thread, in a file that the next start names.

A crash inside Qt or a driver ends Python without a traceback; `faulthandler` still writes where each thread was.
"""

import faulthandler
import os
import time
from pathlib import Path
from typing import TextIO

from napari_pathseg.storage.portable import remove
from napari_pathseg.ui.widgets.user_settings import user_settings

_NAME, _REPORTED = "crash-{}.log", "crash-{}.reported.log"
_KEPT_DAYS = 30


class CrashLog:
    """The file of this window; it is deleted again if nothing crashes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _NAME.format(os.getpid())
        self._file: TextIO = self._path.open("w", encoding="utf8")
        faulthandler.enable(self._file)

    def close(self) -> None:
        """Stop writing, and delete the file if it is empty."""
        faulthandler.disable()
        self._file.close()
        if not self._path.stat().st_size:
            remove(self._path)


def crash_folder() -> Path:
    """Return the folder of the crash logs, beside the user's settings."""
    return Path(user_settings().fileName()).parent / "crashes"


def unreported_crashes(folder: Path) -> list[Path]:
    """Return the logs of crashes that were not reported yet, the newest first; they count as reported from now on.

    Empty files belong to windows that are open, or that were killed; those and old ones are deleted after a month.
    """
    found: list[Path] = []
    for path in sorted(folder.glob("crash-*.log"), key=lambda path: path.stat().st_mtime, reverse=True):
        if time.time() - path.stat().st_mtime > _KEPT_DAYS * 86_400:
            remove(path)
        elif path.stat().st_size and not path.name.endswith(".reported.log"):
            found.append(path.rename(path.with_name(_REPORTED.format(path.stem.removeprefix("crash-")))))
    return found
