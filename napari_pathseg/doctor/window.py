"""Checks of what the window needs: Qt, a display and OpenGL."""

import os
import sys
from pathlib import Path

from napari_pathseg.doctor.child import ProbeError, ask
from napari_pathseg.doctor.finding import Finding

_SOFTWARE = ("llvmpipe", "softpipe", "swiftshader", "software", "gdi generic", "basic render")
_LEAST_OPENGL = 2.1  # of vispy
_LIBRARIES = "libgl1 libegl1 libxcb-cursor0 libxkbcommon-x11-0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1"
_DRIVER = "Install or update the driver of the graphics card."


def check_qt(_: Path) -> Finding:
    """Import Qt."""
    try:
        qt = ask("qt")
    except ProbeError as error:
        return Finding.fault(
            f"Qt does not load, so there is no window: {error}.",
            "python -m pip install --force-reinstall PyQt6. On Linux, install its libraries, too: "
            f"apt install {_LIBRARIES}",
        )
    return Finding.ok(f"Qt {qt['version']} by {qt['binding']}.")


def check_opengl(_: Path) -> Finding:
    """Make an OpenGL canvas as napari does."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not shown:
        return Finding.warning(
            "There is no display, so no window can be opened here; all other commands work.",
            'On a server: xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" pathseg open',
        )
    try:
        found = ask("opengl")
    except ProbeError as error:
        remedy = f"{_DRIVER} On Linux: apt install {_LIBRARIES}"
        return Finding.fault(f"No window with OpenGL can be made: {error}.", remedy)
    if _number(found["version"]) < _LEAST_OPENGL:
        seen = f"OpenGL {found['version']} of {found['renderer']}" if found["version"] else "There is no OpenGL"
        return Finding.fault(f"{seen}; the window needs {_LEAST_OPENGL} or newer.", _no_opengl())
    what = f"OpenGL {found['version']} of {found['renderer']}, textures up to {found['texture']} pixels."
    if any(name in found["renderer"].lower() for name in _SOFTWARE):
        return Finding.warning(
            f"{what} The processor draws instead of a graphics card: the window works, but slowly.",
            f"{_DRIVER} Over a remote desktop, start the window in a session that has the graphics card.",
        )
    return Finding.ok(what)


def _no_opengl() -> str:
    if "QT_XCB_GL_INTEGRATION" in os.environ:
        return "The variable QT_XCB_GL_INTEGRATION chooses it. Unset it."
    return f"{_DRIVER} On Linux: apt install {_LIBRARIES} libgl1-mesa-dri"


def _number(version: str) -> float:
    """Return the first two numbers of a version, 0 if there are none."""
    words = version.replace("OpenGL ES", "").split()
    try:
        return float(".".join(words[0].split(".")[:2]))
    except (IndexError, ValueError):
        return 0.0
