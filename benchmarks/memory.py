"""Peak memory of predicting pyramids of 1, 4 and 16 gigapixels: it must not grow with the slide.

The slides have 0.25 um per pixel and are predicted at 1 um by the default network, each by `pathseg predict` in a
process of its own.  A quarter of each is tissue, a square in its middle.

``rss_mb``          peak memory by gigapixels
``ratio_16_to_1``   of the largest slide to the smallest

    python benchmarks/memory.py [--short]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from pyramids import add_slide, make_project, write_pyramid

from napari_pathseg.geometry import Region
from napari_pathseg.storage.portable import remove_tree

_SIDES = {"1": 32_768, "4": 65_536, "16": 131_072}  # pixels, by gigapixels
_SHORT = {"0.27": 16_384, "1": 32_768}


def middle_square(side: int, share: float, box: Region) -> bool:
    """Return whether a box begins in a square in the middle of a slide, of a share of its area."""
    half = side * share**0.5 / 2
    return all(abs(at - side / 2) <= half for at in (box.top, box.left))


def peak_mb(project: Path, slide: str) -> float:
    """Predict a slide in a process of its own; return its peak memory in MB."""
    program = "import sys; from napari_pathseg.cli import main; sys.exit(main())"
    arguments = [sys.executable, "-c", program, "predict", str(project), "--slide", slide, "--json"]
    child = os.spawnv(os.P_NOWAIT, sys.executable, arguments)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"The prediction of {slide} failed.")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="smaller slides")
    sides = _SHORT if parser.parse_args().short else _SIDES
    rss: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        project, model = make_project(Path(folder))
        for gigapixels, side in sides.items():
            path = Path(folder) / f"slide{gigapixels.replace('.', '_')}.tif"
            write_pyramid(path, side, lambda box, side=side: middle_square(side, 0.25, box))
            name = add_slide(project, path)
            start = time.perf_counter()
            rss[gigapixels] = round(peak_mb(project.folder, name), 1)
            print(f"{gigapixels:>5} Gpx  {rss[gigapixels]:8.0f} MB  {time.perf_counter() - start:8.0f} s", flush=True)
            remove_tree(project.prediction_path(model, name))
    first, *_, last = rss.values()
    print(json.dumps({"rss_mb": rss, "ratio_16_to_1": round(last / first, 3)}))


if __name__ == "__main__":
    main()
