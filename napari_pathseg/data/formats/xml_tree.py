"""XML from strangers, read without harm: no document type, no entities, and with limits.

What comes back is an ordinary element tree that is small enough to be walked.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import DefusedXMLParser

from napari_pathseg.data.formats.limits import open_limited
from napari_pathseg.errors import AnnotationError

DEEPEST = 200
MOST_ELEMENTS = 500_000


def read_tree(path: Path) -> Element:
    """Return the root element of an XML file.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is no XML, declares a document type or entities, or
        passes a limit (256 MiB, 200 levels, 500,000 elements).
    """
    builder = _Builder(path.name)
    try:
        parser = DefusedXMLParser(target=builder, forbid_dtd=True)
        with open_limited(path) as file:
            elements = 0
            while block := file.read(1 << 20):
                elements += block.count(b"<") - block.count(b"</")
                if elements > MOST_ELEMENTS:
                    raise AnnotationError(
                        f"{path.name}: has more than {MOST_ELEMENTS:,} elements. Split it into several files."
                    )
                parser.feed(block)
        root: Element = parser.close()
    except AnnotationError:
        raise
    except DTDForbidden as error:
        raise AnnotationError(
            f"{path.name}: declares a document type, which can hide harm and is not read. Delete its <!DOCTYPE ...>."
        ) from error
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise AnnotationError(f"{path.name} is no XML: {error}. Export it again.") from error
    return root


class _Builder(TreeBuilder):
    """A tree builder that stops where the tree gets too deep."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        if self._depth > DEEPEST:
            raise AnnotationError(
                f"{self._name}: elements are nested more than {DEEPEST} deep. Export it again, ungrouped."
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)
