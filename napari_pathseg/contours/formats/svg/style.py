"""Resolve the style, class and layer of an SVG element from attributes, style sheets and groups.

Only simple CSS selectors are supported: ``*``, ``tag``, ``.class``, ``#id``, ``tag.class`` and
``tag#id``; other rules, and those inside ``@media``, are skipped.  A later rule wins among equals,
an id over a class over a tag over an attribute, and a ``style`` attribute over all
(https://www.w3.org/TR/SVG11/styling.html).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from PIL import ImageColor

NAMESPACE = "{http://www.w3.org/2000/svg}"
_LABEL = "{http://www.inkscape.org/namespaces/inkscape}label"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{2,4})_")  # Illustrator's escape for characters that an id may not hold
_STYLE_CLASS = re.compile(r"(cls-|st|fil|str|s)\d+( .*)?")  # of Illustrator and CorelDRAW
# Ids that programs generate for groups, and generic ones that people use.
_NO_CLASS = re.compile(
    r".*\d\W*|(.*[\W_])?(g|groups?|layers?|svg|root|main|page|canvas|content|body|drawing|figure|objects?|"
    r"annotations?|contours?|outlines?|polygons?|paths?|shapes?|labels?|regions?|rois?|selections?|overlays?)",
    re.IGNORECASE,
)
LARGEST_SHEET = 1_000_000  # characters; drawing programs write a few hundred
PROPERTIES = ("fill", "stroke", "color", "fill-rule", "display", "visibility", "font-size")
_SELECTOR = re.compile(r"(\*|[\w-]+)?(?:([.#])([\w-]+))?")
_URL = re.compile(r"url\([^)]*+\)")
_RGB = re.compile(r"rgba?\(([^()]*+)\)")
_BLACK = "#000000"
_MOST_CLASSES = 100  # looked up per element
Declared = dict[str, str]
_Ranked = dict[str, tuple[int, int, str]]  # a property's specificity, order in the sheet and value


@dataclass(frozen=True)
class StyleSheet:
    """The declarations of a file's style sheets, by selector."""

    rules: dict[str, _Ranked] = field(default_factory=dict)

    def style(self, element: Element, kind: str, around: Declared) -> Declared:
        """Return the properties of an element; its own override inherited ones."""
        own = {name: element.attrib[name] for name in PROPERTIES if name in element.attrib}
        if self.rules:
            own |= {name: value for name, (_, _, value) in self._matching(element, kind).items()}
        if "style" in element.attrib:
            own |= _declared(element.attrib["style"])
        inherited = {name: around[name] for name in around if name != "display"}
        inherit = [name for name, value in own.items() if value == "inherit"]
        own = {**inherited, **own}
        for name in inherit:
            own[name] = around.get(name, "")
        return own

    def has_class(self, class_name: str) -> bool:
        """Return whether the style sheets have a rule for a class."""
        return f".{class_name}" in self.rules

    def _matching(self, element: Element, kind: str) -> _Ranked:
        keys = ["*", kind]
        for name in element.get("class", "").split()[:_MOST_CLASSES]:
            keys += [f".{name}", f"{kind}.{name}"]
        if identity := element.get("id"):
            keys += [f"#{identity}", f"{kind}#{identity}"]
        found: _Ranked = {}
        for key in keys:
            for name, ranked in self.rules.get(key, {}).items():
                found[name] = max(found.get(name, ranked), ranked)
        return found


def read_sheets(texts: Iterable[str]) -> StyleSheet:
    """Return the rules of a file's style sheets.

    Raises
    ------
    ValueError
        If they are longer than any real style sheet.
    """
    text = "\n".join(texts)
    if len(text) > LARGEST_SHEET:
        raise ValueError(
            f"its style sheet has {len(text):,} characters; the limit is {LARGEST_SHEET:,}. "
            "Export it with plain attributes, or delete the style sheet."
        )
    sheet = StyleSheet()
    for order, (selectors, body) in enumerate(_rules(_without_comments(text))):
        declared = _declared(body)
        for selector in selectors.split(",") if declared else ():
            found = _SELECTOR.fullmatch(selector.strip())
            if found and found[0]:
                tag, mark, _ = found.groups()
                weight = {None: 0, ".": 2, "#": 4}[mark] + (tag not in (None, "*"))
                key = found[0].removeprefix("*") or "*"
                ranked = {name: (weight, order, value) for name, value in declared.items()}
                sheet.rules.setdefault(key, {}).update(ranked)
    return sheet


def color_of(paint: str, current: str) -> str | None:
    """Return a paint as ``#rrggbb``, or None if it is "none", a gradient or unknown."""
    paint = _URL.sub("", paint[:200], count=1).strip().lower()  # the fallback after a url
    if paint == "currentcolor":
        paint = current.strip().lower() if current.strip().lower() != "currentcolor" else _BLACK
    if found := _RGB.fullmatch(paint):
        return _rgb(found[1])
    try:
        return "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(paint)[:3])
    except ValueError:
        return None


def _rgb(text: str) -> str | None:
    words = text.replace(",", " ").replace("/", " ").split()
    try:
        values = [float(word.removesuffix("%")) * (2.55 if word.endswith("%") else 1) for word in words[:3]]
    except ValueError:
        return None
    if len(values) < 3 or not all(abs(value) < 1e6 for value in values):
        return None
    return "#" + "".join(f"{round(min(max(value, 0), 255)):02x}" for value in values)


def _declared(text: str) -> Declared:
    """Return the supported declarations of a block."""
    pairs = (pair.partition(":") for pair in text.split(";"))
    found = ((name.strip().lower(), value.partition("!")[0].strip()) for name, _, value in pairs)
    return {name: value for name, value in found if name in PROPERTIES and value}


def _without_comments(text: str) -> str:
    parts, at = [], 0
    while (start := text.find("/*", at)) >= 0:
        parts.append(text[at:start])
        end = text.find("*/", start + 2)
        at = len(text) if end < 0 else end + 2
    return " ".join([*parts, text[at:]])


def _rules(text: str) -> Iterator[tuple[str, str]]:
    """Yield selectors and declarations; skip the content of at-rules."""
    depth = start = opened = 0
    selectors = ""
    for mark in re.finditer("[{};]", text):
        if mark[0] == "{":
            if not depth:
                selectors, opened = text[start : mark.start()].strip(), mark.end()
            depth += 1
        elif mark[0] == "}":
            if depth == 1 and not selectors.startswith("@"):
                yield selectors, text[opened : mark.start()]
            depth = max(0, depth - 1)
            start = mark.end()
        elif not depth:
            start = mark.end()


def kind_of(element: Element) -> str:
    """Return an element's tag without SVG's namespace."""
    tag = element.tag
    return tag[len(NAMESPACE) :] if tag.startswith(NAMESPACE) else tag


def class_of(element: Element, sheet: StyleSheet) -> str:
    """Return the class that an element names by its class, Inkscape label or title; "" if none."""
    name = element.get("class", "")
    if name and not (_STYLE_CLASS.fullmatch(name) and sheet.has_class(name.split()[0])):
        return name
    if label := element.get(_LABEL):
        return label
    if not len(element) or kind_of(element) == "svg":
        return ""
    return (element.findtext(f"{NAMESPACE}title") or element.findtext("title") or "").strip()


def layer_of(group: Element) -> str:
    """Return the name that a person gave a group, as Illustrator, Figma and others write it; "" if none."""
    name = group.get("data-name") or _ESCAPED.sub(lambda found: chr(int(found[1], 16)), group.get("id", ""))
    return "" if _NO_CLASS.fullmatch(name) else name.strip()
