"""Which of two contours lies above: the smaller, unless the format says otherwise."""

import numpy as np
import pytest

from napari_pathseg.contours.contour import Contour, contour_areas, in_painting_order
from napari_pathseg.contours.formats import SlideGeometry, read_contours, write_contours
from napari_pathseg.contours.rasterize import rasterize

SMALL, LARGE = (
    Contour(np.array([[20.0, 20], [20, low], [low, low], [low, 20]]), class_name=name, label=label)
    for name, low, label in (("Tumour", 40.0, 2), ("Stroma", 90.0, 3))
)
GLASS = SlideGeometry("a.ndpi", (100, 100), 0.5, (0.0, 0.0))
FILES = ["a.svg", "asap.xml", "aperio.xml", "cvat.xml", "a.annotations", "a.ndpa", "a.geojson", "coco.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("contours", [[SMALL, LARGE], [LARGE, SMALL]])
def test_smaller_contour_lies_above_whatever_the_order(tmp_path, name, contours):
    stem = name.split(".")[0]
    write_contours(tmp_path / name, contours, format=None if stem == "a" else stem, frame=GLASS)
    read = in_painting_order(read_contours(tmp_path / name, GLASS))
    assert [contour.class_name for contour in read] == ["Stroma", "Tumour"]


def test_order_of_cvat_counts_before_the_size(tmp_path):
    boxes = "".join(
        f'<box label="{name}" xtl="0" ytl="0" xbr="{side}" ybr="{side}" z_order="{z}"/>'
        for name, side, z in (("a", 5, 0), ("b", 9, 1), ("c", 20, 1))
    )
    (tmp_path / "a.xml").write_text(f'<annotations><image name="a">{boxes}</image></annotations>')
    assert [contour.class_name for contour in in_painting_order(read_contours(tmp_path / "a.xml"))] == ["a", "c", "b"]


def test_filled_svg_shape_covers_those_drawn_before(tmp_path):
    shapes = '<rect class="small" width="5" height="5"/><rect class="large" width="9" height="9"/>'
    (tmp_path / "a.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{shapes}</svg>')
    assert [contour.class_name for contour in in_painting_order(read_contours(tmp_path / "a.svg"))] == [
        "small",
        "large",
    ]


def test_area_leaves_out_holes_and_far_away_contours_keep_their_digits():
    ring = Contour(LARGE.exterior, (SMALL.exterior,))
    far = Contour(SMALL.exterior + 1e8)
    assert contour_areas([ring, SMALL, far]).tolist() == [70**2 - 20**2, 400, 400]
    assert rasterize(in_painting_order([SMALL, LARGE]), (100, 100))[30, 30] == 2
    assert in_painting_order([]) == []
