"""Resolve the style, class and layer of an SVG element from attributes, style sheets and groups.

Only simple CSS selectors are supported: ``*``, ``tag``, ``.class``, ``#id``, ``tag.class`` and
``tag#id``; other rules, and those inside ``@media``, are skipped.  A later rule wins among equals,
an id over a class over a tag over an attribute, and a ``style`` attribute over all; but ``!important``
ones win over those that are not
(https://www.w3.org/TR/SVG11/styling.html).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from PIL import ImageColor

from napari_pathseg.contours.class_names import specific_name

NAMESPACE = "{http://www.w3.org/2000/svg}"
_LABEL = "{http://www.inkscape.org/namespaces/inkscape}label"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{2,4})_")  # Illustrator's escape for characters that an id may not hold
_STYLE_CLASS = re.compile(r"(cls-|st|fil|str|s)\d+( .*)?")  # of Illustrator and CorelDRAW
_WORDS = re.compile(r"[^\W\d_]{3,}([ _-]+[^\W\d_]+)*[ _-]*\d*")  # what a person may have typed, and no hash
_LAYER = re.compile(r".*(layer|ebene|calque|capa|livello).*", re.IGNORECASE)  # ids of layers that nobody named
_MODE = "{http://www.inkscape.org/namespaces/inkscape}groupmode"
_NAMES = ("data-class", "data-label", "data-name")
LARGEST_SHEET = 1_000_000  # characters; drawing programs write a few hundred
PROPERTIES = ("fill", "stroke", "color", "fill-rule", "display", "visibility", "font-size")
_SELECTOR = re.compile(r"(\*|[\w-]+)?(?:([.#])([\w-]+))?")
_URL = re.compile(r"url\([^)]*+\)")
_RGB = re.compile(r"rgba?\(([^()]*+)\)")
_BLACK = "#000000"
_MOST_CLASSES = 100  # looked up per element
Declared = dict[str, str]
_Ranked = dict[str, tuple[bool, int, int, str]]  # by property: important, specificity, order in the sheet, value


@dataclass(frozen=True)
class StyleSheet:
    """The declarations of a file's style sheets, by selector."""

    rules: dict[str, _Ranked] = field(default_factory=dict)

    def style(self, element: Element, kind: str, around: Declared) -> Declared:
        """Return the properties of an element; its own override inherited ones."""
        own = {name: element.attrib[name] for name in PROPERTIES if name in element.attrib}
        own = {name: value for name, value in own.items() if "!" not in value}  # invalid in attributes
        found = self._matching(element, kind) if self.rules else {}
        own |= {name: value for name, (*_, value) in found.items()}
        for name, (important, value) in _declared(element.attrib.get("style", "")).items():
            if important or name not in found or not found[name][0]:
                own[name] = value
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
                rules = sheet.rules.setdefault(key, {})
                for name, (important, value) in declared.items():
                    ranked = important, weight, order, value
                    rules[name] = max(rules.get(name, ranked), ranked)
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


def _declared(text: str) -> dict[str, tuple[bool, str]]:
    """Return the supported declarations of a block: by property, whether it is important, and its value."""
    found: dict[str, tuple[bool, str]] = {}
    for declaration in text.split(";"):
        name, _, value = declaration.partition(":")
        name = name.strip().lower()
        value, mark, priority = value.partition("!")
        important = bool(mark)
        if name not in PROPERTIES or not value.strip() or (important and priority.strip().lower() != "important"):
            continue
        if important or not found.get(name, (False, ""))[0]:
            found[name] = important, value.strip()
    return found


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
    """Return the class that an element names by its class, Inkscape label, data attributes or title; "" if none."""
    name = element.get("class", "")
    if name and not (_STYLE_CLASS.fullmatch(name) and sheet.has_class(name.split()[0])):
        return name
    if name := specific_name(element.get(_LABEL), *(element.get(name) for name in _NAMES)):
        return name
    if not len(element) or kind_of(element) == "svg":
        return ""
    return (element.findtext(f"{NAMESPACE}title") or element.findtext("title") or "").strip()


def layer_of(group: Element) -> str:
    """Return the name that a person gave a group, as Illustrator, Figma and others write it; "" if none."""
    name = _id_of(group)
    return "" if name[-1:].isdigit() else specific_name(name)


def distinction_of(element: Element) -> str:
    """Return what tells the contours of an element from those of others, but may be no class; "" if nothing does.

    That is an id of words, numbered ones included, or the label or id of a layer that nobody named.
    """
    name = _id_of(element)
    if kind_of(element) == "g" and (element.get(_MODE) == "layer" or _LAYER.fullmatch(name)):
        return element.get(_LABEL) or name
    return specific_name(name) if _WORDS.fullmatch(name) else ""


def _id_of(element: Element) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), element.get("id", "")).strip()
