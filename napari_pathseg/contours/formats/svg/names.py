"""What SVG elements are called: their kind, and the class that they or their group name."""

import re
from xml.etree.ElementTree import Element

from napari_pathseg.contours.formats.svg.style import StyleSheet

NAMESPACE = "{http://www.w3.org/2000/svg}"
_LABEL = "{http://www.inkscape.org/namespaces/inkscape}label"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{2,4})_")  # how Illustrator writes what an id may not hold
_STYLE_CLASS = re.compile(r"(cls-|st|fil|str|s)\d+( .*)?")  # of Illustrator and CorelDRAW
# Ids that programs give groups of themselves, and that people give all that they drew.
_NO_CLASS = re.compile(
    r".*\d\W*|(.*[\W_])?(g|groups?|layers?|svg|root|main|page|canvas|content|body|drawing|figure|objects?|"
    r"annotations?|contours?|outlines?|polygons?|paths?|shapes?|labels?|regions?|rois?|selections?|overlays?)",
    re.IGNORECASE,
)


def kind_of(element: Element) -> str:
    """Return an element's tag, without SVG's namespace."""
    tag = element.tag
    return tag[len(NAMESPACE) :] if tag.startswith(NAMESPACE) else tag


def class_of(element: Element, sheet: StyleSheet) -> str:
    """Return the class that an element names: by class, Inkscape's label or its title."""
    name = element.get("class", "")
    if name and not (_STYLE_CLASS.fullmatch(name) and sheet.names(name.split()[0])):
        return name
    if label := element.get(_LABEL):
        return label
    if not len(element) or kind_of(element) == "svg":
        return ""
    return (element.findtext(f"{NAMESPACE}title") or element.findtext("title") or "").strip()


def layer_of(group: Element) -> str:
    """Return the name that a person gave a group, as Illustrator, Figma and others write it, or nothing."""
    name = group.get("data-name") or _ESCAPED.sub(lambda found: chr(int(found[1], 16)), group.get("id", ""))
    return "" if _NO_CLASS.fullmatch(name) else name.strip()
