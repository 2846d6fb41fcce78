"""SVG: outlines are read and written, and hostile files are refused."""

import numpy as np
import pytest
import shapely
from PIL import Image

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError


def polygon(contour):
    return shapely.Polygon(contour.exterior, contour.holes)


@pytest.fixture
def svg(tmp_path):
    """Write `tile.svg` with this content."""

    def write(content):
        path = tmp_path / "tile.svg"
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99">{content}</svg>')
        return path

    return write


def test_outline_of_the_gastric_set_counts_from_pixel_corners(svg):
    [contour] = read_contours(svg('<polyline points="1,2 5,2 5,8 1,8 1,2" stroke="#00ff00" fill="none"/>'))
    assert contour.exterior.tolist() == [[1.5, 0.5], [1.5, 4.5], [7.5, 4.5], [7.5, 0.5]]
    assert (contour.class_name, contour.color, contour.holes) == ("", "#00ff00", ())
    assert rasterize([contour], (10, 10)).astype(bool).sum() == 4 * 6


@pytest.mark.shared_data
def test_real_outlines_agree_with_the_masks_they_were_drawn_from(shared):
    folder = shared / "data/tumour_tif_svg"
    both = either = 0
    for path in sorted((folder / "labels").glob("*.svg")):
        mask = np.asarray(Image.open(folder / "masks" / f"{path.name[:-4]}.png")) > 0
        painted = rasterize(read_contours(path), mask.shape) > 0
        both, either = both + (painted & mask).sum(), either + (painted | mask).sum()
    assert both / either > 0.99


SHAPES = [
    ('<polygon points="10 10 30 10 30,40 10,40"/>', 20 * 30),
    ('<polygon points="1.0e1-1e1,30-10 30 40 10.40"/>'.replace("10.40", "10 40"), 20 * 50),
    ('<rect x="5" y="6" width="20px" height="10"/>', 200),
    ('<rect width="40" height="20" rx="10"/>', 400 + np.pi * 100),
    ('<circle cx="50" cy="50" r="30"/>', np.pi * 900),
    ('<ellipse cx="50" cy="50" rx="40" ry="10"/>', np.pi * 400),
    ('<path d="M10 10h20v30H10z"/>', 600),
    ('<path d="m10,10 20,0 0,30 l-20 0"/>', 600),
    ('<path d="M20 50 A30 30 0 0 1 80 50 A30 30 0 0180 50 a30 30 0 1 1-60 0"/>', np.pi * 900),
    ('<path d="M0 0 Q 50 100 100 0 z"/>', 100 * 100 / 3),
    ('<path d="M0 0 Q 25 50 50 50 T 100 0 V-10 H0z"/>', 1000 + 2 * 1250 + 2 * 416.7),
    ('<path d="M0 0 C 0 60 100 60 100 0 z"/>', 3600),
    ('<g transform="translate(10) scale(2 3)"><g><rect width="10" height="10"/></g></g>', 600),
    ('<g transform="rotate(30 50 50)"><rect width="10" height="10" transform="skewX(20)"/></g>', 100),
    ('<rect width="10" height="10" transform="matrix(0 2 -2 0 5 5)"/>', 400),
]


@pytest.mark.parametrize(("content", "area"), SHAPES)
def test_each_svg_shape_covers_its_area(svg, content, area):
    [contour] = read_contours(svg(content))
    assert polygon(contour).area == pytest.approx(area, rel=0.02)


def test_curves_are_exact_to_a_tenth_of_a_pixel_at_any_scale(svg):
    path = svg('<g transform="scale(100)"><circle cx="50" cy="50" r="30"/><path d="M0 0Q50 100 100 0z"/></g>')
    circle, curve = read_contours(path)
    middles = (circle.exterior + np.roll(circle.exterior, 1, axis=0)) / 2
    assert np.hypot(*(middles - 4999.5).T).min() > 3000 - 0.1
    t = np.linspace(0, 1, 5001)
    exact = np.stack([20000 * t * (1 - t), 10000 * t], axis=1) - 0.5
    assert shapely.distance(polygon(curve).exterior, shapely.points(exact)).max() < 0.1


def test_class_and_colour_come_from_the_element_or_its_group(svg):
    contours = read_contours(
        svg(
            '<g class="Tumour" stroke="red"><rect width="9" height="9" fill="#0f0"/>'
            '<rect width="8" height="9" class="Stroma" style="fill:#00f; stroke: rgb(1,2,3)"/></g>'
            '<g xmlns:i="http://www.inkscape.org/namespaces/inkscape" i:label="Necrosis">'
            '<circle r="5" fill="blue"/></g><circle r="5"/><defs><circle r="7"/></defs>'
        )
    )
    assert [(contour.class_name, contour.color) for contour in contours] == [
        ("Tumour", "#ff0000"),
        ("Stroma", "#010203"),
        ("Necrosis", "#0000ff"),
        ("", None),
    ]


def test_inner_rings_of_a_path_are_holes_and_islands_outlines(svg):
    rings = "M0 0H50V50H0z M5 5H45V45H5z M10 10H20V20H10z M60 0H70V9H60z"
    contours = read_contours(svg(f'<path d="{rings}" fill="red" fill-rule="evenodd"/>'))
    assert [(len(contour.holes), polygon(contour).area) for contour in contours] == [
        (1, 900),
        (0, 100),
        (0, 90),
    ]


def test_unfilled_outline_inside_one_of_its_class_is_a_hole(svg):
    content = '<g {}><polygon points="0,0 50,0 50,50 0,50"/><polygon points="9,9 20,9 20,20 9,20"/></g>'
    assert [len(contour.holes) for contour in read_contours(svg(content.format('fill="none" stroke="red"')))] == [1]
    assert [len(contour.holes) for contour in read_contours(svg(content.format('fill="red"')))] == [0, 0]


def test_written_svg_is_read_back_exactly(tmp_path):
    rng = np.random.default_rng(1)
    contours = [
        Contour(rng.normal(0, 1e5, (100, 2)), class_name='<"Immune" & cells>', color="#a05aa0"),
        Contour(rng.uniform(size=(5, 2)), (rng.uniform(size=(4, 2)), rng.uniform(5, 6, (3, 2)))),
        Contour(np.array([[-9.0, -9], [-9, 9], [9, 9], [9, -9]])),
        Contour(np.array([[-1.0, -1], [-1, 1], [1, 1], [1, -1]])),  # lies in the one before, and is no hole
    ]
    write_contours(tmp_path / "a.svg", contours, {"": "#123456"})
    again = read_contours(tmp_path / "a.svg")
    assert [(contour.class_name, contour.color) for contour in again] == [
        ('<"Immune" & cells>', "#a05aa0"),
        *[("", "#123456")] * 3,
    ]
    for contour, copy in zip(contours, again, strict=True):
        assert len(contour.holes) == len(copy.holes)
        assert all(np.array_equal(one, two) for one, two in zip(contour.rings, copy.rings, strict=True))


def test_svg_without_contours_round_trips(tmp_path):
    write_contours(tmp_path / "a.svg", [])
    assert read_contours(tmp_path / "a.svg") == []


REFUSED = [
    ('<circle r="9"/><polygon points="1,1 2,2"/>', "tile.svg, polygon 1: has 2 points; an outline needs 3"),
    ('<polygon points="1 1 2 2 3 1"/><polygon points="1,1"/>', "tile.svg, polygon 2: has 1 point; an outline"),
    ('<polyline points="1,1 5,5 1,1"/>', "tile.svg, polyline 1: has 2 points; an outline needs 3"),
    ('<polyline points=""/>', "tile.svg, polyline 1: has 0 points; an outline needs 3"),
    ('<polygon points="1,1 2,2 3"/>', "tile.svg, polygon 1: has 5 numbers; points are pairs"),
    ('<polygon points="1,1 2,x 3,3"/>', 'tile.svg, polygon 1: has "x" where a number is expected'),
    ('<polygon points="1,1 2,nan 3,3"/>', "tile.svg, polygon 1: has the number nan; numbers must be finite"),
    ('<polygon points="1,1 2,1e999 3,3"/>', "tile.svg, polygon 1: has the number inf; numbers must be finite"),
    ('<polygon transform="scale(1e8) scale(1e8)" points="1,1 2,2 3,1"/>', "tile.svg, polygon 1: point 1 lies at"),
    ('<path d="L1 1 2 2"/>', 'tile.svg, path 1: begins with "L1 1 2 2"'),
    ('<path d="M1 1 C 2 2 3"/>', "tile.svg, path 1: has 3 numbers after C, which takes 6 each"),
    ('<path d="M1 1 A 5 5 0 2 1 9 9"/>', "tile.svg, path 1: has "),
    ('<path/>', "tile.svg, path 1: has 0 points"),
    ('<rect width="0" height="5"/>', "tile.svg, rect 1: its width is 0; it must be above 0"),
    ('<rect width="5miles" height="5"/>', 'tile.svg, rect 1: its width is "5miles"; it must be one length'),
    ('<rect width="5e999" height="5"/>', "tile.svg, rect 1: has the number inf; numbers must be finite"),
    ('<polygon points="1_0,1 2,2 3,3"/>', 'tile.svg, polygon 1: has "_" where a number is expected'),
    ('<path d="M1 1 L 2 2 3 L 4"/>', "tile.svg, path 1: has 3 numbers after L, which takes 2 each"),
    ('<path d="M1 1 A 5 5 0 0 1 9 9 A 5 5 0 0 1 9"/>', "tile.svg, path 1: has 6 numbers after A, which takes 7 each"),
    ('<path d="M1 1 H 2 1e999 3"/>', "tile.svg, path 1: has the number inf; numbers must be finite"),
    ('<use href="#b"/>', 'tile.svg, use 1: uses "#b", which is not in the file'),
    ('<use href="other.svg#a"/>', 'tile.svg, use 1: uses "other.svg#a", which is not in the file'),
    ('<svg viewBox="0 0 0 5"/>', 'tile.svg, svg 2: its viewBox is "0 0 0 5"; it must be four numbers'),
    ('<g transform="rotate(1 2 3 4)"><rect width="5" height="5"/></g>', "tile.svg, g 1: its rotate has 4 numbers"),
    ('<g transform="spin(1)"/>', 'tile.svg, g 1: its transform has "spin(1)"'),
    ("<g>", "tile.svg is not XML: "),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_unreadable_svg_element_is_refused_by_file_and_element(svg, content, message):
    with pytest.raises(AnnotationError) as refused:
        read_contours(svg(content))
    assert str(refused.value).startswith(message)


def test_huge_file_is_refused_unread(tmp_path):
    with (tmp_path / "a.svg").open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(AnnotationError, match="has 300 MiB; contour files of at most 256 MiB can be read"):
        read_contours(tmp_path / "a.svg")


def test_class_name_with_characters_that_xml_forbids_is_readable(tmp_path):
    write_contours(tmp_path / "a.svg", [Contour(np.eye(3)[:, :2] * 9, class_name="Tu\x00mour\ud800 \u00e9")])
    [contour] = read_contours(tmp_path / "a.svg")
    assert contour.class_name == "Tu mour  \u00e9"


def test_svg_has_the_size_of_the_slide_if_known(tmp_path):
    write_contours(tmp_path / "a.svg", [Contour(np.eye(3)[:, :2] * 9)], frame=SlideGeometry(shape=(300, 400)))
    assert 'width="400" height="300"' in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    ("sheet", "style", "color"),
    [
        ("rect {stroke: red !important}", "stroke: blue", "#ff0000"),
        ("rect {stroke: red ! IMPORTANT}", "stroke: blue !important", "#0000ff"),
        ("rect {stroke: red !important} #a {stroke: lime}", "", "#ff0000"),
        ("rect {stroke: red !important; stroke: lime}", "", "#ff0000"),
        ("rect {stroke: red !important} rect {stroke: lime}", "", "#ff0000"),
        ("rect {stroke: red !unimportant}", "stroke: blue", "#0000ff"),
    ],
)
def test_important_declaration_wins_as_in_css(tmp_path, sheet, style, color):
    shape = f'<rect id="a" width="9" height="9" stroke="black" style="{style}"/>'
    (tmp_path / "a.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><style>{sheet}</style>{shape}</svg>')
    [contour] = read_contours(tmp_path / "a.svg")
    assert contour.color == color


@pytest.mark.parametrize(
    "image",
    [
        'href="slide.png" x="10" y="20" width="75" height="50"',
        'href="data:image/png;base64,AA==" x="10" y="20" width="75" height="50"',
        'href="slide.png" x="10" y="20" width="75" height="80" preserveAspectRatio="xMinYMin"',
        'href="slide.png" width="300" height="200" transform="translate(10 20) scale(0.25)"',
    ],
)
def test_frame_of_the_image_of_the_slide_is_that_of_the_slide(tmp_path, image):
    (tmp_path / "a.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 210 297" width="210mm" height="297mm"><g>'
        f'<image {image}/><rect x="35" y="45" width="25" height="5"/></g></svg>'
    )
    [contour] = read_contours(tmp_path / "a.svg", SlideGeometry("slide.tif", (200, 300)))
    assert contour.exterior.min(axis=0) + 0.5 == pytest.approx([100, 100])
    assert contour.exterior.max(axis=0) + 0.5 == pytest.approx([120, 200])
