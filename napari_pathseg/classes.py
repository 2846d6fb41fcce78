"""The classes of a project: what a mask's numbers mean, with names, colours and keys.

Class 0 is *unlabelled*: never trained on, never scored.  Class 1 is *Background*, tissue of
no other class; then *Tumour* and whatever the user adds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_pathseg.errors import ProjectError

UNLABELLED, BACKGROUND = 0, 1
MAXIMUM_CLASSES = 100
_PALETTE = ("#96c896", "#c80000", "#3a7bd5", "#ffc800", "#a05aa0", "#00a9a5", "#e07b39", "#8c564b")


@dataclass(frozen=True)
class ClassSpec:
    """One class: its number in masks, its name, and its colour as ``#rrggbb``."""

    index: int
    name: str
    color: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green, blue, 0 to 255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True)
class ClassTable:
    """The classes of a project in order, Background first, numbered from 1."""

    specs: tuple[ClassSpec, ...]

    def __iter__(self) -> Iterator[ClassSpec]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order; the first one has index 1."""
        return tuple(spec.name for spec in self.specs)

    def named(self, name: str) -> ClassSpec | None:
        """Return the class of that name, whatever its capitals, or None."""
        wanted = name.strip().casefold()
        return next((spec for spec in self.specs if spec.name.casefold() == wanted), None)

    def find(self, name: str) -> ClassSpec | None:
        """Return the class that a file's class name means, American spelling included, or None."""
        spelling = {"tumor": "tumour", "tumour": "tumor"}
        return self.named(name) or self.named(spelling.get(name.strip().casefold(), name))

    def add(self, name: str, color: str | None = None) -> "ClassTable":
        """Return a table with one more class; without a colour it takes one from the palette.

        Raises
        ------
        ProjectError
            If the name is empty or taken, the colour is not ``#rrggbb``, or 100 classes are full.
        """
        return class_table([*((spec.name, spec.color) for spec in self.specs), (name, color)])


def class_table(entries: Sequence[tuple[str, str | None]]) -> ClassTable:
    """Return the table of (name, colour or None) in order, Background first.

    Raises
    ------
    ProjectError
        If a name is empty or repeated, a colour is not ``#rrggbb``, or there are too many.
    """
    if not 2 <= len(entries) <= MAXIMUM_CLASSES:
        raise ProjectError(
            f"A project has {len(entries)} classes; it needs 2 to {MAXIMUM_CLASSES}: Background and what to find."
        )
    specs: list[ClassSpec] = []
    for index, (name, color) in enumerate(entries, 1):
        color = color or _PALETTE[(index - 1) % len(_PALETTE)]
        if not name.strip() or name.strip().casefold() in {spec.name.casefold() for spec in specs}:
            raise ProjectError(f'Class {index} is named "{name}"; give each class another name.')
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            raise ProjectError(f'The colour of class "{name}" is "{color}"; write it as #rrggbb.')
        specs.append(ClassSpec(index, name.strip(), color.lower()))
    return ClassTable(tuple(specs))


DEFAULT_CLASSES = class_table([("Background", None), ("Tumour", None)])
