"""Which names of layers and shapes can be classes, and by which name an import refers to a contour.

Programs number what they draw and name layers by themselves ("Layer 1", "Annotation 3", "g1042"); such a name tells
layers apart but is no class.
"""

import re
from collections.abc import Sequence

from napari_pathseg.contours.contour import Contour

_NUMBER = re.compile(r"[\W_]*\d+[\W_]*$")
_GENERIC = re.compile(
    r"(.*[\W_])?(g|groups?|layers?|svg|root|main|page|canvas|content|body|drawing|figure|objects?|annotations?|contours?|"
    r"outlines?|polygons?|paths?|shapes?|labels?|regions?|rois?|selections?|overlays?|rectangles?|rects?|ellipses?|circles?|"
    r"polylines?|lines?|freehand|vectors?|items?|elements?|nodes?|artboard|frame|ebene|calque|capa|livello|untitled|unnamed|"
    r"none|null|undefined|unclassified|unknown|default|svgid|xmlid|id|svgjs\w*|pathannotationobject|patch|axes|surface|clip)",
    re.IGNORECASE,
)


def unnumbered(text: str) -> str:
    """Return a name without the number at its end.

    >>> unnumbered("Tumour 2"), unnumbered("stroma_1_"), unnumbered("17"), unnumbered("Tumour")
    ('Tumour', 'stroma', '', 'Tumour')
    """
    return _NUMBER.sub("", text.strip())


def is_generic(text: str) -> bool:
    """Return whether a name is one that programs give, or no name at all.

    >>> [is_generic(name) for name in ("Layer 1", "Annotation 3", "g1042", "7", "")]
    [True, True, True, True, True]
    >>> [is_generic(name) for name in ("Tumour", "Tumour 2", "Grade 3")]
    [False, False, False]
    """
    name = unnumbered(text).strip("_")
    return not re.search(r"[^\W\d_]", name) or _GENERIC.fullmatch(name) is not None


def specific_name(*texts: str | None) -> str:
    """Return the first name that no program gave, or an empty text."""
    return next((text.strip() for text in texts if text and not is_generic(text)), "")


def contour_names(contours: Sequence[Contour]) -> list[str]:
    """Return the name by which an import refers to the class of each contour.

    It is the class, else the layer or name of a contour without a class, else its colour where contours without a class
    have several, else empty.
    """
    colors = {contour.color for contour in contours if not contour.class_name.strip() and not contour.layer}
    several = len(colors - {None}) > 1
    return [_name(contour, several) for contour in contours]


def _name(contour: Contour, by_color: bool) -> str:
    if contour.class_name.strip():
        return contour.class_name
    return contour.layer or (contour.color or "" if by_color else "")
