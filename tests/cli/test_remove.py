import json

import numpy as np
import tifffile

from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project


def test_removed_slides_are_listed_and_come_back(tmp_path, run_pathseg):
    files = [tmp_path / f"{name}.tif" for name in "ab"]
    for number, path in enumerate(files):
        tifffile.imwrite(path, np.full((64, 64, 3), 90 + number, np.uint8), photometric="rgb")
    folder = tmp_path / "x.pathseg"
    add_slides(Project.create(folder), files)

    def run(*words):
        code, lines, _ = run_pathseg("remove", folder, *words, "--json")
        return code, json.loads(lines[-1]) if lines else None

    nothing = {"models": [], "removed_models": []}
    assert run("a") == (0, {"slides": ["b"], "removed": ["a"], **nothing})
    assert run()[1]["removed"] == ["a"]
    assert run("a", "--undo") == (0, {"slides": ["b", "a"], "removed": [], **nothing})
    assert run("--slide", "a", "--slide", "b")[1]["removed"] == ["a", "b"]
    assert run("--slide", "b", "--restore")[1]["slides"] == ["b"]
    assert run("z")[0] != 0
