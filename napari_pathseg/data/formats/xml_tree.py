"""XML from strangers, read without harm: no entities, nothing fetched, and with limits.

What comes back is an ordinary element tree that is small enough to be walked.  Vertices, of
which a file may have millions, are not in it: they are numbers in the :class:`Vertices` that
stands for the element around them.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from napari_pathseg.data.annotation import Points
from napari_pathseg.data.formats.limits import MOST_POINTS, open_limited
from napari_pathseg.data.formats.xml_vertices import (
    AROUND_VERTICES,
    DEEPEST,
    VERTEX_TAGS,
    AttributeVertices,
    ElementVertices,
    collector,
    too_deep,
)
from napari_pathseg.errors import AnnotationError

MOST_ELEMENTS = 500_000
MOST_ATTRIBUTES = 3_000_000
LONGEST_TAG = 48 << 20  # bytes; a contour with a million vertices takes some 36 MB in an SVG
LONGEST_TEXT = 16 << 20  # letters
_BLOCK = 1 << 20


class Vertices(Element):
    """An element that held vertices: `points` are ``(x, y)`` as the file counts them.

    A number that is missing, or none, is NaN.
    """

    points: Points


def points_of(element: Element | None) -> Points:
    """Return the vertices that an element held, shape (n, 2); none where there is no such element."""
    return element.points if isinstance(element, Vertices) else np.empty((0, 2))


def read_tree(path: Path) -> Element:
    """Return the root element of an XML file.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is no XML, declares a document type of its own, uses an
        entity, or passes a limit (256 MiB, 200 levels, 500,000 elements besides vertices,
        5,000,000 vertices).
    """
    with open_limited(path) as file:
        plain = _check_tags(iter(partial(file.read, _BLOCK), b""), path.name)
        file.seek(0)
        reader = _Reader(path.name, plain)
        try:
            for block in iter(partial(file.read, _BLOCK), b""):
                reader.feed(block)
            return reader.close()
        except AnnotationError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise AnnotationError(f"{path.name} is no XML: {error}. Export it again.") from error


def _check_tags(blocks: Iterable[bytes], name: str) -> bool:
    """Refuse a file of too many or too long tags, before any is looked at.

    Returns
    -------
    plain : bool
        Whether the file is but tags and text: nothing in it hides tags, as comments do.
    """
    tags = points = hiding = length = 0
    last = b""
    for block in blocks:
        hiding -= not last and block.startswith(b"<?xml ")
        hiding += last + block[:1] in (b"<!", b"<?")
        last = block[-1:]
        length = len(block) - 1 - block.rfind(b"<") + (0 if b"<" in block else length)
        if length > LONGEST_TAG:
            raise _too_long(name)
        if opening := block.count(b"<"):
            tags += opening - sum(block.count(other) for other in (b"</", b"<x>", b"<y>"))
            points += sum(block.count(vertex) for vertex in VERTEX_TAGS)
            hiding += block.count(b"<!") + block.count(b"<?")
        if points > MOST_POINTS:
            raise AnnotationError(f"{name}: has more than {MOST_POINTS:,} points. Split it into several files.")
        if tags - points > MOST_ELEMENTS:
            raise _too_many_elements(name)
    return hiding == 0


def _too_many_elements(name: str) -> AnnotationError:
    return AnnotationError(f"{name}: has more than {MOST_ELEMENTS:,} elements. Split it into several files.")


def _too_long(name: str) -> AnnotationError:
    return AnnotationError(
        f"{name}: one of its tags or texts is longer than {LONGEST_TAG >> 20} MiB. "
        "Remove pictures that it holds, or split it into several files."
    )


class _Reader:
    """One pass of expat through a file, which builds the tree or refuses it."""

    def __init__(self, name: str, plain: bool) -> None:
        self._name = name
        self._plain = plain
        self._builder = TreeBuilder(element_factory=_element)
        self._fed = self._depth = self._elements = self._attributes = self._text = 0
        self._vertices: AttributeVertices | ElementVertices | None = None
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.SkippedEntityHandler = self._refuse_entity
        self._to_tree()

    def feed(self, block: bytes) -> None:
        """Read a block of the file."""
        if self._plain and isinstance(self._vertices, AttributeVertices):
            whole = block.find(b">") + 1
            self._parse(block[:whole])
            block = self._without_vertices(block[whole:])
        self._parse(block)

    def close(self) -> Element:
        """Return the root when all is read."""
        self._parser.Parse(b"", True)
        return self._builder.close()

    def _without_vertices(self, block: bytes) -> bytes:
        """Take the vertices with which a block begins, if they are written alike."""
        end = block.find(b"</")
        size = block.rfind(b">", 0, end if end >= 0 else len(block)) + 1
        if isinstance(self._vertices, AttributeVertices) and self._vertices.take_alike(block[:size]):
            return b"\n" * block.count(b"\n", 0, size) + block[size:]  # so that expat counts lines rightly
        return block

    def _parse(self, block: bytes) -> None:
        self._parser.Parse(block, False)
        self._fed += len(block)
        if self._fed - self._parser.CurrentByteIndex > LONGEST_TAG:
            raise _too_long(self._name)

    def _to_tree(self) -> None:
        """Make elements of what comes."""
        self._vertices = None
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data

    def _to_vertices(self, element: Vertices) -> None:
        """Collect what comes as numbers, until the element ends."""

        def done(tag: str, points: Points) -> None:
            element.points = points
            self._to_tree()
            self._end(tag)

        self._vertices = collector(element.tag, self._name, done)
        self._parser.StartElementHandler = self._vertices.start
        self._parser.EndElementHandler = self._vertices.end
        self._parser.CharacterDataHandler = self._vertices.data

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        self._attributes += len(attributes)
        if self._depth > DEEPEST:
            raise too_deep(self._name)
        if self._elements > MOST_ELEMENTS or self._attributes > MOST_ATTRIBUTES:
            raise _too_many_elements(self._name)
        if any("}" in name for name in attributes):
            attributes = {_qualified(name): value for name, value in attributes.items()}
        element = self._builder.start(_qualified(tag), attributes)
        if isinstance(element, Vertices):
            self._to_vertices(element)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        self._builder.end(_qualified(tag))

    def _data(self, text: str) -> None:
        self._text += len(text)
        if self._text > LONGEST_TEXT:
            raise AnnotationError(f"{self._name}: has more than {LONGEST_TEXT >> 20} MiB of text. Remove its text.")
        self._builder.data(text)

    def _doctype(self, name: str, system: str | None, public: str | None, has_internal: int) -> None:
        if has_internal:
            raise AnnotationError(
                f"{self._name}: declares a document type of its own, which can hide harm and is not read. "
                "Delete the [...] of its <!DOCTYPE ...>, or export it again without."
            )

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise AnnotationError(
            f"{self._name}: uses the entity {name[:40]}, which can hide harm and is not read. Replace it by its text."
        )


def _element(tag: str, attributes: dict[str, str]) -> Element:
    return Vertices(tag, attributes) if tag in AROUND_VERTICES else Element(tag, attributes)


def _qualified(name: str) -> str:
    """Return a name as element trees have it, its namespace in braces."""
    return f"{{{name}" if "}" in name else name
