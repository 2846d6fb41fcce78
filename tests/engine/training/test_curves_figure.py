import math
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.engine.training.curves_figure import save_curves_figure
from napari_pathseg.engine.training.curves_figure import ticks as find_ticks

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    {"step": 0, "loss": None, "validation_loss": 0.9, "training_accuracy": None, "accuracy": 0.5},
    {"step": 50, "loss": 0.7, "validation_loss": 0.6, "training_accuracy": 0.8, "accuracy": 0.75},
    {"step": 100, "loss": 0.3, "validation_loss": 0.5, "training_accuracy": 0.95, "accuracy": 0.875},
]


def curves(path):
    """Return the points of the thick lines of an SVG, by colour."""
    root = ElementTree.parse(path).getroot()
    thick = [line for line in root.iter(f"{SVG}polyline") if line.get("stroke-width") == "2"]
    return [
        (line.get("stroke"), [tuple(map(float, point.split(","))) for point in line.get("points").split()])
        for line in thick
    ]


def test_svg_shows_accuracy_and_loss_of_training_and_held_out_tiles(tmp_path):
    save_curves_figure(tmp_path, ROWS)
    drawn = curves(tmp_path / "curves.svg")
    assert [len(points) for _, points in drawn] == [2, 3, 2, 3]
    texts = [text.text for text in ElementTree.parse(tmp_path / "curves.svg").getroot().iter(f"{SVG}text")]
    assert [text for text in texts if text[0].isalpha()] == [
        *("Accuracy", "step", "training", "held out"),
        *("Loss", "step", "training", "held out"),
    ]
    accuracy = drawn[1][1]  # 0.5, 0.75 and 0.875 after 0, 50 and 100 steps
    (left, low), (middle, high), (right, highest) = accuracy
    assert middle - left == pytest.approx(right - middle, abs=0.02)
    assert (low - high) / (low - highest) == pytest.approx(0.25 / 0.375, abs=0.01)


def test_png_shows_the_same_curves(tmp_path):
    save_curves_figure(tmp_path, ROWS)
    pixels = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")).astype(int)
    for colour, points in curves(tmp_path / "curves.svg"):
        wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        for x, y in points[:-1]:
            row, column = round(2 * y), round(2 * x)
            near = pixels[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 3)
            assert np.abs(near - wanted).sum(axis=1).min() < 40


def test_rows_of_an_older_version_show_their_loss_alone(tmp_path):
    save_curves_figure(tmp_path, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": math.nan}])
    assert [len(points) for _, points in curves(tmp_path / "curves.svg")] == [1]


def test_without_values_no_figure_is_written(tmp_path):
    save_curves_figure(tmp_path, [{"step": 0, "loss": None}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.52, 0.93, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.3, 0.3, [0.3, 0.4]),
        (0, 0, [0, 0.2]),
        (1e-4, 3.1e-4, [1e-4, 1.5e-4, 2e-4, 2.5e-4, 3e-4, 3.5e-4]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, ticks):
    found = find_ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    if len(ticks) > 2:
        assert found == pytest.approx(ticks)
