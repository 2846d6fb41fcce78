"""XML is read completely and quickly, and hostile XML is refused."""

import gzip
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from napari_pathseg.contours.formats import read_contours
from napari_pathseg.contours.formats.xml_tree import points_of, read_tree
from napari_pathseg.errors import AnnotationError


@pytest.fixture
def xml(tmp_path):
    """Write `case.xml` with this content."""

    def write(content):
        path = tmp_path / "case.xml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_tree_equals_that_of_the_standard_library_except_vertices(xml):
    path = xml('<?xml version="1.0"?><a xmlns:i="urn:i" i:b="1"><c d="&lt;">text<e/>tail</c><i:f/></a>')
    mine, theirs = read_tree(path), ElementTree.parse(path).getroot()
    assert ElementTree.tostring(mine) == ElementTree.tostring(theirs)


def lines(number):
    x, y = np.random.default_rng(1).uniform(-1e5, 1e5, (2, number)).tolist()
    return [f'\t<Coordinate Order="{i}" X="{x[i]!r}" Y="{y[i]!r}" />' for i in range(number)]


def _written_differently(vertices):
    yield "alike", vertices
    yield "backwards", vertices[::-1]
    half = len(vertices) // 2
    yield "in two ways", vertices[:half] + [re.sub('Order="(.*)" X', r'X="1" Order="\1" Z', v) for v in vertices[half:]]
    yield "in single quotes", [vertex.replace('"', "'") for vertex in vertices]
    yield "some in a comment", [*vertices[:9], "<!-- ", *vertices[9:half], "-->", *vertices[half:]]
    yield "some in unparsed text", [*vertices[:9], "<![CDATA[ ", *vertices[9:half], "]]>", *vertices[half:]]
    yield "some in an instruction", [*vertices[:9], "<?pi ", *vertices[9:half], "?>", *vertices[half:]]
    yield "with letters as numbers", [vertex.replace(".", "&#46;") for vertex in vertices]
    yield "with a tag's end in a value", [vertex.replace(" X", ' Name="/>" X') for vertex in vertices]
    yield "with ends of their own", [vertex.replace(" />", "></Coordinate>") for vertex in vertices]
    yield "on one line", ["".join(vertices)]
    yield "without an order", [re.sub('Order=".*" X', "X", vertex) for vertex in vertices]


@pytest.mark.parametrize("way", range(12))
def test_vertex_attributes_equal_those_of_the_standard_library(xml, way):
    name, vertices = list(_written_differently(lines(45_000)))[way]
    path = xml("<a><Coordinates>\n" + "\n".join(vertices) + "\n</Coordinates><Coordinates/></a>")
    assert path.stat().st_size > 2 << 20  # several blocks of the file
    found = ElementTree.parse(path).getroot()[0].findall("Coordinate")
    found.sort(key=lambda vertex: float(vertex.get("Order", 0)))
    expected = [(float(vertex.get("X")), float(vertex.get("Y"))) for vertex in found]
    assert len(expected) > 20_000, name
    [full, empty] = read_tree(path)
    assert len(full) == 0
    assert points_of(full).tolist() == [list(point) for point in expected]
    assert points_of(empty).shape == (0, 2)


def test_vertices_that_are_elements_are_read(xml):
    content = (
        "<pointlist>\n<point>\n<x> 1.5 </x><y>-2</y></point><point><y>4</y><x>3</x><z>9</z></point>"
        "<point><x>5</x></point><point><x>six</x><y>6</y></point></pointlist>"
    )
    points = points_of(read_tree(xml(content)))
    np.testing.assert_array_equal(points, [[1.5, -2], [3, 4], [5, np.nan], [np.nan, 6]])


def test_malformed_number_is_nan(xml):
    content = '<Vertices><Vertex X="1" Y="2"/><Vertex X="1"/><Vertex X="1,5" Y="2"/><Other X="1" Y="1"/></Vertices>'
    np.testing.assert_array_equal(points_of(read_tree(xml(content))), [[1, 2], [np.nan] * 2, [np.nan] * 2])


@pytest.mark.parametrize("content", ["<", "<<", "<<<", "<a/><<"])
def test_file_that_ends_where_tags_begin_is_not_xml(xml, content):
    with pytest.raises(AnnotationError, match=r"case\.xml is not XML"):
        read_tree(xml(content))


def test_malformed_xml_is_named_with_its_line(xml):
    vertices = "\n".join(lines(45_000))
    with pytest.raises(AnnotationError, match=r"case.xml is not XML: mismatched tag: line 45002, column 2"):
        read_tree(xml(f"<Coordinates>\n{vertices}\n</Wrong>"))


def test_hundreds_of_thousands_of_vertices_are_read_in_seconds(xml, at_most_loops):
    path = xml("<Coordinates>\n" + "\n".join(lines(300_000)) + "\n</Coordinates>")
    with at_most_loops(30):  # 0.4 s
        assert len(points_of(read_tree(path))) == 300_000


DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'


@pytest.mark.parametrize("kind", [DOCTYPE, "<!DOCTYPE svg>", '<!DOCTYPE svg SYSTEM "file:///nowhere.dtd">'])
def test_doctype_without_declarations_is_read(xml, kind):
    path = xml(f'<?xml version="1.0"?>\n{kind}\n<svg><rect width="4" height="4"/></svg>')
    assert len(read_contours(path)) == 1


def _hostile():
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    declares = "case.xml: declares a document type of its own"
    yield f'<!DOCTYPE a [<!ENTITY l0 "lol">{entities}]><a>&l9;</a>', declares
    yield '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', declares
    yield '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><a/>', declares
    yield '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd" []><a/>', declares
    yield f"{DOCTYPE}<a>&harm;</a>", "case.xml: uses the entity harm"
    yield "<a>&harm;</a>", "case.xml is not XML: undefined entity"
    yield "<a>" * 300, "case.xml: elements are nested more than 200 deep"
    yield "<Vertices>" + "<V>" * 100_000, "case.xml: elements are nested more than 200 deep"
    yield "<pointlist>" + "<point>" * 100_000, "case.xml: elements are nested more than 200 deep"
    yield "<a>" + "<g/>" * 3_000_000 + "</a>", "case.xml: has more than 750,000 elements"
    yield "<a>" + "<Vx/>" * 1_000_000 + "</a>", "case.xml: has more than 750,000 elements"
    yield "<a>" + "<!---->" * 3_000_000 + "</a>", "case.xml: has more than 750,000 elements"
    yield "<Vertices>" + "<V/>" * 5_100_000, "case.xml: has more than 5,000,000 points"
    much = "case.xml: has more than 16 MiB of text"
    yield f'<a b="{"x" * (60 << 20)}"/>', much
    yield f'<a b="{"1 " * (30 << 20)}"/>', "case.xml: one of its tags or texts is longer than 48 MiB"
    yield f"<!--{'x' * (60 << 20)}--><a/>", much
    yield f"<a>{'<b/>' * 400_000}<!--{'x' * (300 << 20 >> 1)}--></a>", "case.xml: one of its tags or texts is longer"
    yield f"<a>{'x' * (30 << 20)}</a>", "case.xml: has more than 16 MiB of text"
    yield "<a>" + f"<b>{'x' * 1000}</b>" * 120_000 + "</a>", much
    yield "<a>" + "<b" + f" c='{'x' * (9 << 20)}'" + "/>" + f"<!--{'x' * (9 << 20)}--></a>", much
    yield "<pointlist><point>" + "<x>1</x>" * 4_000_000, "case.xml: has more than 750,000 elements"
    yield "<ndpviewstate>" + "<z/>" * 4_000_000, "case.xml: has more than 750,000 elements"
    yield gzip.compress(b"<svg>" + b" " * 20_000_000 + b"</svg>"), "case.xml is not XML: not well-formed"
    yield b"\xff\xfe\x00", "case.xml is not XML"
    yield '<?xml version="1.0" encoding="nonsense"?><a/>', "case.xml is not XML"


@pytest.mark.parametrize("number", range(25))
def test_hostile_xml_is_refused_quickly(xml, number, at_most_loops):
    content, message = list(_hostile())[number]
    path = xml(content)
    with at_most_loops(100), pytest.raises(AnnotationError) as refused:  # the longest takes 0.7 s
        read_contours(path)
    assert str(refused.value).startswith(message)


POINT = "<point><x> 1.5 </x>\n<y>-2</y></point>\n"


@pytest.mark.parametrize(
    "odd", ["", "<point><y>2</y><x>1</x></point>", "<point><x>1</x></point>", "<x>7</x>", "<!--c-->"]
)
def test_vertex_elements_equal_those_of_the_standard_library(xml, odd):
    lists = [odd + POINT * 3, POINT * 40_000 + odd + POINT * 40_000, odd, POINT]
    path = xml("<a>" + "".join(f"<pointlist>{points}</pointlist>\n" for points in lists) + "</a>")
    for mine, theirs in zip(read_tree(path), ElementTree.parse(path).getroot(), strict=True):
        vertices = theirs.findall("point")
        expected = [[float(vertex.findtext(name, "nan")) for name in "xy"] for vertex in vertices]
        np.testing.assert_array_equal(points_of(mine), np.array(expected).reshape(-1, 2))


def test_malformed_xml_after_vertex_elements_is_named_with_its_line(xml):
    with pytest.raises(AnnotationError, match=r"mismatched tag: line 20002, column 2"):
        read_tree(xml("<pointlist>\n" + POINT * 10_000 + "</Wrong>"))
