"""Read untrusted XML safely: no entities, no external resources, and with limits.

The result is an ordinary element tree, small enough to walk.  Vertices are not elements of it,
as a file may have millions: they are arrays in the :class:`Vertices` that replaces their parent
element.
"""

from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from napari_pathseg.contours.contour import Points
from napari_pathseg.contours.formats.json_tree import gc_paused
from napari_pathseg.contours.formats.limits import open_limited
from napari_pathseg.contours.formats.xml_limits import (
    MAX_ELEMENTS,
    MAX_SKIPPED,
    MAX_TAG_BYTES,
    MAX_TEXT_LENGTH,
    SKIPPED_TAGS,
    check_bytes,
    too_long,
    too_many_elements,
    too_much_text,
)
from napari_pathseg.contours.formats.xml_vertices import (
    MAX_DEPTH,
    VERTEX_PARENTS,
    AttributeVertices,
    ElementVertices,
    too_deep,
    vertex_collector,
)
from napari_pathseg.errors import AnnotationError

_MAX_ATTRIBUTES = 3_000_000
_MAX_NAMESPACES = 10_000  # declarations; drawing programs have about ten
_MAX_NAMESPACE_LENGTH = 1000  # characters, which each qualified name repeats in memory
_BLOCK = 1 << 20
_POINT_LIST, _END_OF_LIST, _POINT, _END_OF_POINT = b"<pointlist>", b"</pointlist>", b"<point>", b"</point>"


class Vertices(Element):
    """A parent of vertices: `points` are ``(x, y)`` in the coordinates of the file.

    A missing or malformed number is NaN.
    """

    points: Points


def points_of(element: Element | None) -> Points:
    """Return the vertices of an element, shape (n, 2); empty without such an element."""
    return element.points if isinstance(element, Vertices) else np.empty((0, 2))


def read_tree(path: Path) -> Element:
    """Return the root element of an XML file.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is not XML, has an internal document type definition, uses
        an entity, or exceeds a limit (256 MiB, 200 levels, 750,000 elements besides vertices,
        5,000,000 vertices).
    """
    with open_limited(path) as file:
        plain = check_bytes(iter(partial(file.read, _BLOCK), b""), path.name)
        file.seek(0)
        reader = _Reader(path.name, plain)
        try:
            with gc_paused():
                for block in iter(partial(file.read, _BLOCK), b""):
                    reader.feed(block)
                return reader.close()
        except AnnotationError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise AnnotationError(f"{path.name} is not XML: {error}. Export it again.") from error


class _Reader:
    """Feeds a file to expat and builds the tree, or refuses it."""

    def __init__(self, name: str, plain: bool) -> None:
        self._name = name
        self._plain = plain
        self._builder = TreeBuilder(element_factory=_element)
        self._fed = self._elements = self._attributes = self._text = self._namespaces = self._unread = 0
        self._skipped = 0  # depth inside an element that is not read
        self._open_tags: list[str] = []
        self._names: dict[str, str] = {}
        self._vertices: AttributeVertices | ElementVertices | None = None
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.SkippedEntityHandler = self._refuse_entity
        self._parser.StartNamespaceDeclHandler = self._namespace
        self._to_tree()

    def feed(self, block: bytes) -> None:
        """Read a block of the file."""
        if self._plain and isinstance(self._vertices, AttributeVertices):
            whole = block.find(b">") + 1
            self._parse(block[:whole])
            block = self._without_vertices(block[whole:])
        if self._plain and b"<point>" in block:
            block = self._without_points(block)
        self._parse(block)

    def close(self) -> Element:
        """End the parsing and return the root."""
        self._parser.Parse(b"", True)
        return self._builder.close()

    def _without_vertices(self, block: bytes) -> bytes:
        """Return a block without the vertices at its start, if they are uniform and were collected."""
        end = block.find(b"</")
        size = block.rfind(b">", 0, end if end >= 0 else len(block)) + 1
        if isinstance(self._vertices, AttributeVertices) and self._vertices.take_uniform(block[:size]):
            return b"\n" * block.count(b"\n", 0, size) + block[size:]  # keeps expat's line numbers correct
        return block

    def _without_points(self, block: bytes) -> bytes:
        """Collect the uniform vertices that are elements; return the rest of the block."""
        at, end = 0, 0
        while end >= 0:
            start = _POINT if isinstance(self._vertices, ElementVertices) else _POINT_LIST
            begin = block.find(start, at)
            if begin < 0:
                break
            begin += len(start) if start == _POINT_LIST else 0
            end = block.find(_END_OF_LIST, begin)
            last = block.rfind(_END_OF_POINT, begin, end if end >= 0 else len(block))
            whole = last + len(_END_OF_POINT) if last >= 0 else begin
            self._parse(block[at:begin])
            points = block[begin:whole]
            if isinstance(self._vertices, ElementVertices) and self._vertices.take_uniform(points):
                points = b"\n" * points.count(b"\n")
            at = end + len(_END_OF_LIST) if end >= 0 else whole
            self._parse(points + block[whole:at])
        return block[at:]

    def _parse(self, block: bytes) -> None:
        self._parser.Parse(block, False)
        self._fed += len(block)
        if self._fed - self._parser.CurrentByteIndex > MAX_TAG_BYTES:
            raise too_long(self._name)

    def _to_tree(self) -> None:
        """Build elements from the events that follow."""
        self._vertices = None
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data

    def _to_vertices(self, element: Vertices) -> None:
        """Collect numbers from the events that follow, until the element ends."""

        def done(tag: str, points: Points) -> None:
            element.points = points
            self._to_tree()
            self._end(tag)

        self._vertices = vertex_collector(element.tag, self._name, done)
        self._parser.StartElementHandler = self._vertices.start
        self._parser.EndElementHandler = self._vertices.end
        self._parser.CharacterDataHandler = self._vertices.data

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._skipped or (self._open_tags and tag in SKIPPED_TAGS.get(self._open_tags[-1], ())):
            self._skip()
            return
        self._open_tags.append(tag)
        self._elements += 1
        self._attributes += len(attributes)
        if len(self._open_tags) > MAX_DEPTH:
            raise too_deep(self._name)
        if self._elements > MAX_ELEMENTS or self._attributes > _MAX_ATTRIBUTES:
            raise too_many_elements(self._name)
        if attributes and any("}" in name for name in attributes):
            attributes = {self._qualified(name): value for name, value in attributes.items()}
        element = self._builder.start(self._qualified(tag), attributes)
        if isinstance(element, Vertices):
            self._to_vertices(element)

    def _skip(self) -> None:
        """Skip an element."""
        self._skipped += 1
        self._unread += 1
        if self._skipped > MAX_DEPTH:
            raise too_deep(self._name)
        if self._unread > MAX_SKIPPED:
            raise too_many_elements(self._name)

    def _end(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        self._open_tags.pop()
        self._builder.end(self._qualified(tag))

    def _data(self, text: str) -> None:
        self._text += 0 if self._skipped else len(text)
        if self._text > MAX_TEXT_LENGTH:
            raise too_much_text(self._name)
        if not self._skipped:
            self._builder.data(text)

    def _namespace(self, prefix: str | None, address: str | None) -> None:
        self._namespaces += 1
        if self._namespaces > _MAX_NAMESPACES or len(address or "") > _MAX_NAMESPACE_LENGTH:
            raise AnnotationError(
                f"{self._name}: has more than {_MAX_NAMESPACES:,} namespaces, or one of more than "
                f"{_MAX_NAMESPACE_LENGTH:,} letters. Export it again."
            )

    def _qualified(self, name: str) -> str:
        """Return a name in the notation of ElementTree, with the namespace in braces."""
        if "}" not in name:
            return name
        return self._names.setdefault(name, f"{{{name}")

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
    return Vertices(tag, attributes) if tag in VERTEX_PARENTS else Element(tag, attributes)
