"""The structure of SVG: groups, copies, viewports, styles and fill rules."""

import numpy as np
import pytest
import shapely

from napari_pathseg.contours.formats import read_contours
from napari_pathseg.contours.formats.base import SlideGeometry

SQUARE = '<rect width="10" height="20"/>'


def polygon(contour):
    return shapely.Polygon(contour.exterior, contour.holes)


def box(contour):
    """Return left, top, right and bottom, measured from the corner of the first pixel."""
    (top, left), (bottom, right) = contour.exterior.min(axis=0) + 0.5, contour.exterior.max(axis=0) + 0.5
    return tuple(np.round([left, top, right, bottom], 6).tolist())


@pytest.fixture
def read(tmp_path):
    """Read `tile.svg` with this content."""

    def read(content, attributes="", frame=None):
        path = tmp_path / "tile.svg"
        spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        path.write_text(f"<svg {spaces} {attributes}>{content}</svg>")
        return read_contours(path, frame)

    return read


VIEWPORTS = [
    ("", None, (0, 0, 10, 20)),
    ('width="800" height="600"', None, (0, 0, 10, 20)),
    ('width="210mm" height="297mm"', None, (0, 0, 10, 20)),
    ('width="100%" height="100%" viewBox="0 0 4000 3000"', None, (0, 0, 10, 20)),
    ('width="512pt" height="512pt" viewBox="0 0 512 512"', None, (0, 0, 10, 20)),
    ('viewBox="0 0 4000 3000"', None, (0, 0, 10, 20)),
    ('width="4000" height="3000" viewBox="0 0 4000 3000"', None, (0, 0, 10, 20)),
    ('width="8000" height="6000px" viewBox="0 0 4000 3000"', None, (0, 0, 20, 40)),
    ('width="8000" viewBox="0 0 4000 3000"', None, (0, 0, 20, 40)),
    ('viewBox="-5 -10 100 100"', None, (5, 10, 15, 30)),
    # A display of 800 x 600 of a slide that is known to be as large as the viewBox.
    ('width="800" height="600" viewBox="0 0 4000 3000"', (3000, 4000), (0, 0, 10, 20)),
    ('width="8000" height="6000" viewBox="0 0 4000 3000"', (6000, 8000), (0, 0, 20, 40)),
    # The viewBox is fitted in, in the middle or as told.
    ('width="200" height="100" viewBox="0 0 100 100"', None, (50, 0, 60, 20)),
    ('width="200" height="100" viewBox="0 0 100 100" preserveAspectRatio="xMinYMin"', None, (0, 0, 10, 20)),
    ('width="200" height="100" viewBox="0 0 100 100" preserveAspectRatio="xMaxYMax slice"', None, (0, -100, 20, -60)),
    ('width="200" height="100" viewBox="0 0 100 100" preserveAspectRatio="none"', None, (0, 0, 20, 20)),
]


@pytest.mark.parametrize(("attributes", "shape", "expected"), VIEWPORTS)
def test_slide_pixels_follow_from_viewbox_size_and_slide(read, attributes, shape, expected):
    [contour] = read(SQUARE, attributes, SlideGeometry(shape=shape))
    assert box(contour) == expected


@pytest.mark.parametrize(
    ("length", "pixels"),
    [("2in", 192), ("1cm", 96 / 2.54), ("10mm", 96 / 2.54), ("3pt", 4), ("1pc", 16), ("25%", 100), ("2em", 40)],
)
def test_lengths_are_read_in_their_unit(read, length, pixels):
    [contour] = read(f'<g font-size="20px"><rect width="{length}" height="1"/></g>', 'viewBox="0 0 400 300"')
    assert box(contour) == pytest.approx((0, 0, pixels, 1))


def test_nested_svg_has_its_own_position_size_and_viewbox(read):
    inner = f'<svg x="100" y="50" width="50%" height="100" viewBox="0 0 10 20">{SQUARE}</svg>'
    [contour] = read(f'<g transform="scale(2)">{inner}</g>', 'width="400" height="400"')
    assert box(contour) == (350, 100, 450, 300)


def test_used_element_is_drawn_at_each_use_but_not_where_defined(read):
    contours = read(
        f'<defs><g id="a" transform="translate(1)">{SQUARE}</g><circle r="5"/></defs>'
        '<use href="#a"/><use xlink:href="#a" x="100" y="50" transform="scale(2)" class="Tumour" fill="red"/>'
        '<g id="b"><use href="#a" y="300"/></g><use href="#b" y="100"/>'
    )
    assert [box(contour) for contour in contours] == [
        (1, 0, 11, 20),
        (202, 100, 222, 140),
        (1, 300, 11, 320),
        (1, 400, 11, 420),
    ]
    assert [(contour.class_name, contour.color) for contour in contours[:2]] == [("", None), ("Tumour", "#ff0000")]


def test_symbol_is_fitted_into_the_box_of_its_use(read):
    symbol = f'<symbol id="s" viewBox="0 0 10 20">{SQUARE}</symbol>'
    [plain, small] = read(
        f'{symbol}<use href="#s" width="40" height="40"/><use href="#s" x="7" width="5" height="10"/>'
    )
    assert (box(plain), box(small)) == ((10, 0, 30, 40), (7, 0, 12, 10))


def test_first_applicable_child_of_a_switch_is_drawn(read):
    contours = read(
        '<switch><foreignObject requiredExtensions="x"/><g systemLanguage="de"><circle r="9"/></g>'
        f"<g>{SQUARE}</g><g><circle r='5'/></g></switch><rect requiredFeatures='flight' width='3' height='3'/>"
    )
    assert [box(contour) for contour in contours] == [(0, 0, 10, 20)]


def test_hidden_element_has_no_outline(read):
    contours = read(
        f'<g display="none">{SQUARE}</g><g style="display:none">{SQUARE}</g><g visibility="hidden">{SQUARE}'
        '<rect width="7" height="7" visibility="visible"/></g>'
        '<line x2="9" y2="9"/><text>rect</text><image width="5" height="5"/><path d="M0 0L9 9"/>'
        '<path d="M0 0L9 9L18 18z"/><clipPath><circle r="5"/></clipPath><mask><circle r="5"/></mask>'
    )
    assert [box(contour) for contour in contours] == [(0, 0, 7, 7)]


OUTER, INNER, TURNED = "M0 0H50V50H0z", "M10 10H30V30H10z", "M10 10V30H30V10z"
FILLS = [
    (OUTER + INNER, "nonzero", [(0, 2500)]),
    (OUTER + TURNED, "nonzero", [(1, 2100)]),
    (OUTER + INNER, "evenodd", [(1, 2100)]),
    (OUTER + TURNED, "evenodd", [(1, 2100)]),
    (OUTER + "M5 5V45H45V5z" + INNER, "nonzero", [(0, 400), (1, 900)]),
    (OUTER + "M40 40H90V90H40z", "nonzero", [(0, 4900)]),
    (OUTER + "M40 40H90V90H40z", "evenodd", [(0, 2400), (0, 2400)]),
    (OUTER + "M40 40V90H90V40z", "nonzero", [(0, 2400), (0, 2400)]),
    (OUTER + "M50 0H90V50H50z", "nonzero", [(0, 2000), (0, 2500)]),  # side by side: two outlines, as drawn
    (OUTER + "M60 0H90V50H60z", "nonzero", [(0, 1500), (0, 2500)]),
    # A star of five points: its middle is filled by one rule, and by the other it is not.
    ("M50 0L79 90L2 35H98L21 90z", "nonzero", [(0, 2792)]),
]


@pytest.mark.parametrize(("rings", "rule", "expected"), FILLS)
def test_rings_are_filled_by_their_fill_rule(read, rings, rule, expected):
    contours = read(f'<path d="{rings}" fill="red" style="fill-rule:{rule}"/>')
    assert sorted((len(contour.holes), round(polygon(contour).area)) for contour in contours) == expected


def test_rings_that_do_not_cross_keep_their_points(read):
    [contour] = read(f'<path d="{OUTER}{TURNED}" fill="red"/>')
    assert (contour.exterior + 0.5).tolist() == [[0, 0], [0, 50], [50, 50], [50, 0]]
    assert (contour.holes[0] + 0.5).tolist() == [[10, 10], [30, 10], [30, 30], [10, 30]]


def test_nearest_of_sheet_attribute_and_group_styles_wins(read):
    sheet = """<style>/* a { comment } */ @import "x"; @media print { rect { stroke: black } }
        rect { stroke: #010101 } .Tumour, .Stroma { stroke: #0f0; fill: none } rect.Stroma { stroke: rgb(1 2 3) }
        #one { stroke: RGB(100%, 0%, 0%) !important } g > rect { stroke: #777 } .gone { display: none }</style>"""
    contours = read(
        sheet + '<rect width="5" height="5" stroke="blue"/><rect class="Tumour" width="6" height="5"/>'
        '<rect class="Stroma" width="7" height="5"/><rect id="one" class="Stroma" width="8" height="5"/>'
        '<rect class="Stroma" width="9" height="5" style="stroke: currentColor" color="#abcdef"/>'
        '<rect class="gone" width="9" height="5"/>'
        '<g stroke="gold"><circle r="5"/><circle cx="50" r="6" stroke="inherit"/></g>'
        '<circle r="7" fill="url(#shade) red"/><circle r="8" fill="url(#shade)"/><circle r="9" stroke="rgb(300,-5,0)"/>'
    )
    colors = [contour.color for contour in contours]
    assert colors[:5] == ["#010101", "#00ff00", "#010203", "#ff0000", "#abcdef"]
    assert colors[5:] == ["#ffd700", "#ffd700", "#ff0000", None, "#ff0000"]


NAMES = [
    ('<g class="Tumour">{}</g>', "Tumour"),
    ('<g id="Tumour">{}</g>', "Tumour"),
    ('<g id="Immune_x20_cells">{}</g>', "Immune cells"),
    ('<g id="Tumour_1_" data-name="Tumour">{}</g>', "Tumour"),
    ('<g class="Tumour"><g id="left">{}</g></g>', "Tumour"),
    ('<g id="Stroma"><g id="g12-3">{}</g></g>', "Stroma"),
    ('<g id="annotations">{}</g>', ""),
    ('<g id="layer1"><g id="Layer_2">{}</g></g>', ""),
    ('<g xmlns:i="http://www.inkscape.org/namespaces/inkscape" i:label="Necrosis" id="layer1">{}</g>', "Necrosis"),
    ("<title>My drawing</title><g><title>Tumour</title>{}</g>", "Tumour"),
    ('<style>.st0{{fill:none}}</style><g id="Tumour"><g class="st0">{}</g></g>', "Tumour"),
    ('<g class="st0">{}</g>', "st0"),
]


@pytest.mark.parametrize(("content", "name"), NAMES)
def test_class_is_the_name_that_a_person_gave(read, content, name):
    assert [contour.class_name for contour in read(content.format(SQUARE))] == [name]
