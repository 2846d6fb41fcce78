"""Hostile and broken SVG files are refused in time, in little memory and with a reason."""

import math
import os
import re
import tracemalloc
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.contours.formats import read_contours
from napari_pathseg.errors import AnnotationError

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(content, attributes=""):
    return f"<svg {NAMESPACES} {attributes}>{content}</svg>"


def star(points):
    """Return a polygon whose lines nearly all cross."""
    angles = [index * 2.39996 for index in range(points)]
    return " ".join(f"{1000 * math.cos(angle):.3f},{1000 * math.sin(angle):.3f}" for angle in angles)


def hostile_files():
    """Yield a name, a file and a part of the message, each created only when needed."""
    levels = "".join(f'<g id="a{i}">{f"""<use xlink:href="#a{i - 1}"/>""" * 10}</g>' for i in range(1, 10))
    square = '<rect id="a0" width="1" height="1"/>'
    chain = "".join(f'<use id="a{i}" href="#a{i - 1}"/>' for i in range(1, 50_000))
    yield "copies", svg(f'<defs>{square}{levels}</defs><use href="#a9"/>'), "more than 100,000 copies"
    yield "itself", svg('<g id="a"><use href="#a"/></g>'), "g 1: is used inside itself"
    yield "svg", svg('<use href="#r"/>', 'id="r"'), "svg 1: is used inside itself"
    circle = '<defs><g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g></defs><use href="#a"/>'
    yield "circle", svg(circle), "is used inside itself"
    yield "chain", svg(f'<defs>{square}{chain}</defs><use href="#a49999"/>'), "nested more than 300 deep"
    yield "row of chains", svg(square + chain), "more than 100,000 copies"
    yield "depth", "<svg>" + "<g>" * 100_000, "nested more than 200 deep"
    yield "elements", f"<svg>{'<g/>' * 1_000_000}</svg>", "more than 750,000 elements"
    yield "arcs", svg(f'<path d="M0 0{"a1e6 1e6 0 1 1 9 9" * 1_000_000}"/>'), "more than 5,000,000 points"
    yield "curves", svg(f'<path d="M0 0{"c1e7 1e8 0 1e7 9 9" * 500_000}"/>'), "more than 5,000,000 points"
    yield "commands", svg(f'<path d="M0 0{"z" * 10_000_000}"/>'), "more than 5,000,000 points"
    yield "points", svg(f'<polygon points="{"1,2 " * 5_100_000}"/>'), "more than 5,000,000 points"
    yield "digits", svg(f'<path d="M0 0A{"1" * 2_000_000}"/>'), "has 1 numbers after A"
    yield "box", svg('<circle r="5"/>', 'width="9" height="9" viewBox="0 0 1e-300 1e-300"'), "must be finite"
    yield "huge box", svg('<circle r="5"/>', 'viewBox="0 0 1e308 1"'), "has the number 1e.308"
    scaled = '<g transform="scale(1e8)">' * 50 + "<circle r='1'/>" + "</g>" * 50
    yield "scale", svg(scaled), "coordinates must be finite"
    yield "transforms", svg(f'<g transform="{"scale(1)" * 500_000}"/>'), "a list of more than 1,000"
    yield "blanks", svg(f'<g transform="{" " * 2_000_000}x"/>'), 'its transform has "x"'
    yield "rules", svg(f"<style>{'.a{fill:red}' * 500_000}</style>"), "style sheet has 6,000,000 characters"
    yield "star", svg(f'<polygon points="{star(3001)}"/>'), "its lines cross too often"
    yield "stars", svg(f'<polygon points="{star(301)}"/>' * 200), "its lines cross too often"
    rings = "".join(f"M{i} {i}H{9999 - i}V{9999 - i}z" for i in range(4000))
    yield "rings", svg(f'<path d="{rings}"/>'), "too many of its 4,000 outlines are nested"
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    yield "laughs", f'<!DOCTYPE svg [<!ENTITY l0 "lol">{entities}]><svg>&l9;</svg>', "declares"
    yield "entity", '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>', "declares"
    many = " ".join(f"{math.cos(i / 10_000):.3f},{i}" for i in range(60_000))
    copies = '<use href="#p"/>' * 1000
    yield (
        "copies of many points",
        svg(f'<defs><polygon id="p" points="{many}"/></defs>{copies}'),
        "5,000,000 points",
    )
    yield "copies of a path", svg(f'<defs><path id="p" d="M{many}"/></defs>{copies}'), "5,000,000 points"
    triangle = 'points="0,0 4,0 4,4"'
    for name, value in (("style", "a:b;" * 100_000), ("systemLanguage", "de," * 100_000), ("class", "a " * 100_000)):
        long = f'<defs><polygon id="p" {triangle} {name}="{value}"/></defs>'
        yield f"copies of a long {name}", svg(long + copies), "copies of elements that are too long"
    blank = f'<defs><polygon id="p" points="0,0 4,0 4,4{" " * 1_000_000}"/></defs>'
    yield "copies of blanks", svg(blank + copies), "copies of elements that are too long"
    deep = "".join(f"M{i} {i}H{199_999 - i}V{199_999 - i}H{i}z" for i in range(90_000))
    for rule in ("nonzero", "evenodd"):
        yield (
            f"deep rings, {rule}",
            svg(f'<path fill-rule="{rule}" d="{deep}"/>'),
            "of its 90,000 outlines are nested",
        )
    yield "moves", svg(f'<path d="{"M0 0 " * 2_000_000}"/>'), "more than 5,000,000 points"
    yield "arcs in turn", svg(f'<path d="M0 0{"A1 1 0 0 1 5 5L1 1" * 200_000}"/>'), "more than 5,000,000 points"
    yield "namespace", f'<svg xmlns:a="{"u" * 100_000}">{"<a:b/>" * 20_000}</svg>', "or one of more than 1,000 letters"
    attributes = " ".join(f'a{i}="1"' for i in range(200_000))
    yield "attributes", f"<svg {attributes}/>", "has more than 100,000 attributes"
    yield "page", "<html/>", "is in none of the formats"
    yield "bytes", "\x00\xff", "is not XML"
    yield "nothing", "", "is not XML"


NAMES = [name for name, _, _ in hostile_files()]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_svg_is_refused_quickly(tmp_path, name, at_most_loops):
    content, message = next((content, message) for known, content, message in hostile_files() if known == name)
    path = tmp_path / "bad.svg"
    path.write_text(content)
    del content
    with at_most_loops(100), pytest.raises(AnnotationError, match=message):  # each takes about 1 s or less
        read_contours(path)


@pytest.mark.parametrize(
    "name", ["copies", "arcs", "points", "rings", "stars", "copies of many points", "moves", "namespace", "attributes"]
)
def test_hostile_svg_takes_little_memory(tmp_path, name):
    path = tmp_path / "bad.svg"
    path.write_text(next(content for known, content, _ in hostile_files() if known == name))
    tracemalloc.start()
    try:
        with pytest.raises(AnnotationError):
            read_contours(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


PLACES = [
    '<polygon points="1,1 2,{} 3,3"/>',
    '<polygon transform="matrix(1 0 0 {} 0 0)" points="1,1 2,4 3,3"/>',
    '<polygon transform="rotate({})" points="1,1 2,4 3,3"/>',
    '<path d="M0 0L1 {} 3 3"/>',
    '<path d="M0 0A{} 1 0 0 0 3 3z"/>',
    '<circle r="{}"/>',
    '<svg viewBox="0 0 {} 1"><circle r="5"/></svg>',
]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e308", "1e999"])
@pytest.mark.parametrize("place", PLACES)
def test_numbers_too_large_to_compute_with_are_refused(tmp_path, place, number):
    path = tmp_path / "bad.svg"
    path.write_text(svg(place.format(number)))
    with pytest.raises(AnnotationError):
        read_contours(path)


numbers = st.one_of(
    st.integers(-50, 50).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(["1e999", "0", "-0", ".5.5", "1e-300", "5%", "3mm", "2em", "--1", "e5", "1e", "+", "auto"]),
)
letters = st.sampled_from(list("MmLlHhVvCcSsQqTtAaZzx|_"))
path_data = st.lists(st.one_of(letters, numbers, st.sampled_from([",", " ", "01", "\n"])), max_size=40).map(" ".join)
words = st.one_of(st.text(max_size=12), numbers, path_data, st.lists(numbers, max_size=9).map(" ".join))
functions = st.tuples(st.sampled_from(["scale", "matrix", "rotate", "skewX", "spin"]), st.lists(numbers, max_size=6))
transforms = functions.map(lambda call: f"{call[0]}({' '.join(call[1])})")
NAMES_OF_ATTRIBUTES = [
    *("points", "d", "x", "y", "width", "height", "r", "rx", "ry", "cx", "cy", "viewBox", "transform", "style"),
    *("class", "id", "href", "fill", "stroke", "color", "fill-rule", "display", "visibility", "font-size"),
    *("preserveAspectRatio", "data-holes", "requiredFeatures", "systemLanguage"),
]
KINDS = ["polygon", "polyline", "path", "rect", "circle", "ellipse", "use", "line", "text", "style"]
attributes = st.dictionaries(
    st.sampled_from(NAMES_OF_ATTRIBUTES),
    st.one_of(words, transforms, st.sampled_from(["#a", "#b", "none", "evenodd", "inherit", "fill:red;stroke:#12"])),
    max_size=6,
)
elements = st.recursive(
    st.tuples(st.sampled_from(KINDS), attributes),
    lambda inner: st.tuples(
        st.sampled_from(["g", "svg", "symbol", "defs", "switch", "a"]), attributes, st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)


def written(element):
    kind, attributes, *inner = element
    # What is not XML is refused before: only what is XML gets as far as to be read.
    legal = {
        name: "".join(letter for letter in value if letter.isprintable() or letter in "\n\t")
        for name, value in attributes.items()
    }
    pairs = " ".join(f"{name}={quoteattr(value)}" for name, value in legal.items())
    return f"<{kind} {pairs}>{''.join(map(written, inner[0] if inner else []))}</{kind}>"


def read(path):
    """Return the contours, or the message by which they are refused; anything else fails."""
    try:
        return read_contours(path)
    except AnnotationError as error:
        return str(error)


@settings(max_examples=300 * FUZZ, deadline=None)
@given(st.lists(elements, max_size=4), attributes)
def test_arbitrary_attributes_raise_only_annotation_errors(tmp_path_factory, content, own):
    path = tmp_path_factory.getbasetemp() / "random.svg"
    path.write_text(written(("svg", own, content)), encoding="utf-8")
    found = read(path)
    if isinstance(found, str):
        assert found.startswith("random.svg")
    else:
        assert all(len(ring) >= 3 for contour in found for ring in contour.rings)


@settings(max_examples=300 * FUZZ, deadline=None)
@given(path_data)
def test_arbitrary_path_raises_only_annotation_errors(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.svg"
    path.write_text(f'<svg><path d="M1 1{data}" fill-rule="evenodd"/><path d="m5 5 9 9 {data}"/></svg>')
    found = read(path)
    assert not isinstance(found, str) or found.startswith("random.svg")


def test_eighty_copies_of_a_large_outline_are_read(tmp_path):
    path = tmp_path / "copies.svg"
    uses = "".join(f'<use href="#p" x="{3000 * index}"/>' for index in range(80))
    circle = " ".join(f"{9 * math.cos(index / 955):.3f},{9 * math.sin(index / 955):.3f}" for index in range(6000))
    path.write_text(svg(f'<defs><polygon id="p" points="{circle}"/></defs>{uses}'))
    contours = read_contours(path)
    assert [len(contour.exterior) for contour in contours] == [6000] * 80


def test_repeated_curve_commands_equal_one_with_many_curves(tmp_path):
    rows = "C0 0 10 40 50 50S90 20 99 9Q120 60 130 5T150 50t9 9q1 9 9 9c1 2 8 9 9 0s8 2 9 9z"
    padded = re.sub("([A-Za-y])", lambda letter: letter[0] + " " * 64, rows)  # takes the way of long rows
    found = []
    for number, data in enumerate((rows, padded)):
        path = tmp_path / f"{number}.svg"
        path.write_text(svg(f'<path fill="none" d="M5 5{data}"/>'))
        found.append(read_contours(path)[0].exterior)
    assert len(found[0]) > 30
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)


@pytest.mark.parametrize("second", ["h2v2h-2z", "v2h2v-2z"])
@pytest.mark.parametrize("rule", ["nonzero", "evenodd"])
def test_thousands_of_outlines_with_a_hole_are_read_quickly(tmp_path, rule, second, at_most_loops):
    path = tmp_path / "rings.svg"
    path.write_text(svg(f'<path fill-rule="{rule}" d="M0 0h9v9h-9zM2 2{second}"/>' * 5000))
    with at_most_loops(100):  # 0.6 s
        contours = read_contours(path)
    unites = rule == "nonzero" and second.startswith("h")
    assert [len(contour.holes) for contour in contours] == [0 if unites else 1] * 5000
