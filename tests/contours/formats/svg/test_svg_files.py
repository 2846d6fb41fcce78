"""The outlines of SVG files of the W3C, of napari and of svgpathtools are read."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

SVG = "{http://www.w3.org/2000/svg}"
ZOOM = 4  # pixels of the rendering per unit

# Outlines and holes, counted by eye in the files.  A path with n subpaths counts n times,
# straight lines and what is only defined not at all.  The W3C's files have a frame around
# them, stroked black: outlines stroked black in it are holes by our rule.
CONTOURS = {
    "coords-coord-02-t": (7, 0),
    "coords-trans-02-t": (11, 0),
    "coords-trans-04-t": (6, 0),
    "coords-trans-06-t": (6, 0),
    "coords-trans-08-t": (11, 0),
    "coords-trans-10-f": (13, 0),
    "coords-trans-12-f": (13, 0),
    "coords-trans-14-f": (13, 0),
    "coords-transformattr-02-f": (9, 0),
    "coords-transformattr-04-f": (7, 0),
    "coords-units-01-b": (10, 0),  # 9 and the frame; the shapes in its patterns are not drawn
    "coords-units-03-b": (13, 0),
    "napari_flat-plain-dark": (5, 0),
    "napari_jedi-plain-dark": (23, 0),  # 26 shapes, 3 of them straight lines
    "napari_logo-silhouette-dark-light": (1, 0),
    "napari_logo": (5, 0),
    "napari_logo_silhouette": (1, 0),
    "paths-data-02-t": (39, 0),  # 29 squares, 9 subpaths, one of which meets itself in a point: two
    "paths-data-04-t": (15, 2),
    "paths-data-06-t": (18, 1),
    "paths-data-08-t": (15, 2),
    "paths-data-10-t": (7, 0),
    "paths-data-13-t": (1, 0),  # two straight lines and the frame
    "paths-data-15-t": (5, 0),  # a wave, three triangles, the frame; a straight line
    "paths-data-17-f": (3, 2),  # two squares, each once in red and once in black, and the frame
    "paths-data-19-f": (9, 8),  # the same of eight curves; sixteen straight lines
    "shapes-grammar-01-f": (5, 0),
    "shapes-intro-02-f": (19, 2),
    "shapes-line-02-f": (1, 0),
    "shapes-polygon-02-t": (13, 0),
    "shapes-polyline-01-t": (9, 1),  # a filled zigzag crosses its closing line: four triangles
    "shapes-rect-01-t": (7, 2),
    "shapes-rect-03-t": (47, 23),  # 23 twice and the frame, and 23 of them once more in black by use
    "shapes-rect-05-f": (3, 0),
    "shapes-rect-07-f": (5, 0),
    "struct-cond-02-t": (1, 0),
    "struct-cond-overview-02-f": (8, 0),
    "struct-cond-overview-04-f": (3, 0),
    "struct-defs-01-t": (2, 0),
    "struct-frag-02-t": (5, 0),
    "struct-frag-04-t": (5, 0),
    "svgpathtools_circle": (1, 0),
    "svgpathtools_display_temp": (6, 0),
    "svgpathtools_ellipse": (1, 0),
    "svgpathtools_groups": (0, 0),  # twelve straight lines
    "svgpathtools_negative-scale": (1, 0),
    "svgpathtools_polygons": (2, 0),
    "svgpathtools_rects": (2, 0),
    "svgpathtools_test": (2, 0),
    "svgpathtools_transforms": (6, 0),
    "svgpathtools_zero-radius-arcs": (9, 0),
}
REFUSED = {
    "coords-viewattr-02-b": "declares a document type of its own",
    "coords-viewattr-04-f": "declares a document type of its own",
    "shapes-circle-02-t": "circle 4: its r is 0; it must be above 0",
    "shapes-ellipse-02-t": "ellipse 2: its rx is 0; it must be above 0",
}
RENDERED = [
    *("coords-trans-02-t", "coords-trans-08-t", "coords-trans-10-f", "coords-trans-12-f", "coords-trans-14-f"),
    *("coords-transformattr-02-f", "coords-transformattr-04-f", "coords-units-03-b", "paths-data-02-t"),
    *("paths-data-04-t", "paths-data-06-t", "paths-data-10-t", "shapes-intro-02-f", "shapes-polyline-01-t"),
    *("shapes-grammar-01-f", "shapes-rect-01-t", "shapes-rect-03-t", "shapes-rect-07-f", "struct-frag-02-t"),
    *("napari_logo_silhouette", "napari_path", "svgpathtools_zero-radius-arcs"),
]
RENDER = """
import sys
from qtpy.QtCore import QRectF
from qtpy.QtGui import QGuiApplication, QImage, QPainter
from qtpy.QtSvg import QSvgRenderer
application = QGuiApplication([])
for path in sys.argv[2:]:
    renderer = QSvgRenderer(path)
    size = renderer.viewBoxF().size() * int(sys.argv[1])
    image = QImage(int(size.width()), int(size.height()), QImage.Format.Format_RGB32)
    image.fill(0xFFFFFFFF)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter, QRectF(0, 0, image.width(), image.height()))
    painter.end()
    image.save(path + ".png")
"""


@pytest.fixture
def files(shared):
    return shared / "data/contours/svg"


@pytest.mark.shared_data
@pytest.mark.parametrize("name", CONTOURS)
def test_real_svg_has_its_outlines_and_holes(files, name):
    contours = read_contours(files / f"{name}.svg")
    assert (len(contours), sum(len(contour.holes) for contour in contours)) == CONTOURS[name]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", REFUSED)
def test_real_svg_that_is_refused_says_why(files, name):
    with pytest.raises(AnnotationError, match=REFUSED[name]):
        read_contours(files / f"{name}.svg")


@pytest.mark.shared_data
def test_every_real_svg_is_tested(files):
    known = {*CONTOURS, *REFUSED, "napari_path"}  # whose outline crosses itself: see the renderings
    assert {path.stem for path in files.glob("*.svg")} <= known


def leave_only_what_is_filled(path, copy):
    """Write a copy in which filled shapes are black and nothing else is drawn."""
    tree = ElementTree.parse(path)
    for parent in tree.iter():
        for child in list(parent):
            shape = child.tag not in (f"{SVG}g", f"{SVG}use", f"{SVG}defs")
            if child.tag in (f"{SVG}text", f"{SVG}line") or (shape and child.get("fill") == "none"):
                parent.remove(child)
    for element in tree.iter():
        for name in [name for name in element.attrib if name.startswith("stroke")]:
            del element.attrib[name]
        if element.get("fill", "none") != "none":
            element.set("fill", "#000")
    tree.write(copy)


def zoomed(contour):
    exterior, *holes = (ring * ZOOM + (ZOOM - 1) / 2 for ring in contour.rings)
    return Contour(exterior, tuple(holes))


@pytest.mark.shared_data
def test_real_svg_covers_what_another_program_paints(files, tmp_path):
    pytest.importorskip("qtpy.QtSvg", reason="Qt's SVG module is not installed")
    copies = [tmp_path / f"{name}.svg" for name in RENDERED]
    for copy in copies:
        leave_only_what_is_filled(files / copy.name, copy)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    subprocess.run([sys.executable, "-c", RENDER, str(ZOOM), *map(str, copies)], env=environment, check=True)
    for copy in copies:
        painted = np.asarray(Image.open(f"{copy}.png").convert("L")) < 128
        # In units of the drawing, not in the size that it has on a page.
        shape = tuple(round(side / ZOOM) for side in painted.shape)
        contours = read_contours(copy, SlideGeometry(shape=shape))
        ours = rasterize([zoomed(contour) for contour in contours], painted.shape) > 0
        assert (ours & painted).sum() / (ours | painted).sum() > 0.98, copy.name


def test_million_points_and_thousands_of_outlines_are_read_quickly(tmp_path, at_most_loops):
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    points = 2048 + 1500 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    words = " ".join(f"{x:.3f},{y:.3f}" for x, y in points.tolist())
    square = '<polygon points="{0},{1} {2},{1} {2},{3} {0},{3}" class="Tumour" fill="red"/>'
    squares = [square.format(x, y, x + 9, y + 9) for x in range(0, 1000, 10) for y in range(0, 2000, 10)]
    contents = [(f'<polygon points="{words}" stroke="red"/>', 1), ("".join(squares), 20_000)]
    for content, count in contents:
        path = tmp_path / "big.svg"
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{content}</svg>')
        with at_most_loops(50):  # 0.9 s and 1.3 s
            assert len(read_contours(path)) == count


NAPARI = (
    '<svg height="30.0" width="40.0" version="1.1" xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink"><g transform="translate(-60.0 -50.0)"><g transform="matrix(1.0 0.0 0.0 '
    '1.0 0.0 0.0) translate(0 0) rotate(0.0) skewY(0.0) scale({0} {0})"><polygon points="60.0,50.0 100.0,50.0 '
    '100.0,80.0 60.0,80.0" stroke-width="3" fill="rgb(255, 0, 0)" stroke="rgb(255, 0, 0)" /></g></g></svg>'
)


@pytest.mark.parametrize("shape", [None, (192, 256), (300, 400)])
def test_shapes_that_napari_saved_without_their_slide_lie_where_they_were_drawn(tmp_path, shape):
    (tmp_path / "a.svg").write_text(NAPARI.format(1))
    [contour] = read_contours(tmp_path / "a.svg", SlideGeometry(shape=shape))
    assert contour.exterior.tolist() == [[50, 60], [50, 100], [80, 100], [80, 60]]


def test_shapes_of_a_napari_layer_with_a_pixel_size_keep_its_scale(tmp_path):
    (tmp_path / "a.svg").write_text(NAPARI.format(0.5))
    [contour] = read_contours(tmp_path / "a.svg")
    assert contour.exterior.tolist() == [[25, 30], [25, 50], [40, 50], [40, 30]]


def test_group_of_another_program_that_is_moved_stays_moved(tmp_path):
    (tmp_path / "a.svg").write_text(NAPARI.format(1).replace("<svg ", '<svg id="a" '))
    [contour] = read_contours(tmp_path / "a.svg")
    assert contour.exterior[0].tolist() == [-0.5, -0.5]
