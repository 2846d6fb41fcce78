"""The classes of a project: the meaning of a mask's values, with names and colours.

Class 0 is *unlabelled*: never trained on, never scored.  Class 1 is *Background*, tissue of
no other class; then come *Tumour* and the classes that the user adds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypedDict

from msgspec import Meta

from napari_pathseg.errors import ProjectError

UNLABELLED, BACKGROUND = 0, 1
MAXIMUM_CLASSES, HIGHEST_NUMBER = 100, 127  # masks are shown with 128 added for unreviewed pixels
_PALETTE = ("#96c896", "#c80000", "#3a7bd5", "#ffc800", "#a05aa0", "#00a9a5", "#e07b39", "#8c564b")


@dataclass(frozen=True)
class ClassSpec:
    """A class: its value in masks, its name, and its colour as ``#rrggbb``."""

    index: int
    name: str
    color: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green, blue, 0 to 255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


class StoredClass(TypedDict):
    """Name and colour of a class in JSON files."""

    name: Annotated[str, Meta(min_length=1)]
    color: Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")]


@dataclass(frozen=True)
class RemovedClass:
    """A class that was removed: masks no longer contain it, and its number is not given again.

    Attributes
    ----------
    spec
        What it was.
    into
        The class that took over its pixels; 0 if they became unlabelled.
    after
        The class that was listed before it, which may be removed as well; 0 if that is not known.
    """

    spec: ClassSpec
    into: int = UNLABELLED
    after: int = UNLABELLED


@dataclass(frozen=True)
class ClassTable:
    """The classes of a project in the order in which they are listed, Background first.

    A class is its number, which is its value in masks and its output of networks: it keeps it when others are moved
    or removed.
    """

    specs: tuple[ClassSpec, ...]
    removed: tuple[RemovedClass, ...] = ()

    def __iter__(self) -> Iterator[ClassSpec]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the list."""
        return tuple(spec.name for spec in self.specs)

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the classes."""
        return frozenset(spec.index for spec in self.specs)

    @property
    def highest(self) -> int:
        """The highest number that a class has or had: how many outputs a network needs."""
        return max(spec.index for spec in self._by_number.values())

    @property
    def slot_names(self) -> tuple[str, ...]:
        """A name for each number from 1 to `highest`; those of removed classes differ from all others."""
        return tuple(self.name_of(number) for number in range(1, self.highest + 1))

    @property
    def slots(self) -> list[StoredClass]:
        """Name and colour of each number from 1 to `highest`, as bundles store them."""
        specs = self._by_number
        return [{"name": name, "color": specs[number].color} for number, name in enumerate(self.slot_names, 1)]

    @property
    def colors(self) -> list[tuple[int, int, int]]:
        """Red, green and blue by class number; unlabelled, the first, is black."""
        specs = self._by_number
        return [(0, 0, 0), *(specs[number].rgb for number in range(1, self.highest + 1))]

    @property
    def merged(self) -> dict[int, int]:
        """The class that took over the pixels of each removed class, by number, if one of the table did."""
        into = {gone.spec.index: gone.into for gone in self.removed}
        found = {}
        for number in into:
            target = into[number]
            while target in into:  # that class was removed later
                target = into[target]
            if target != UNLABELLED:
                found[number] = target
        return found

    def numbered(self, number: int) -> ClassSpec | None:
        """Return the class of that number, or None."""
        return next((spec for spec in self.specs if spec.index == number), None)

    def name_of(self, number: int) -> str:
        """Return the name of a number; that of a removed class differs from all others."""
        spec = self.numbered(number)
        return removed_name(self._by_number[number].name, number) if spec is None else spec.name

    def named(self, name: str) -> ClassSpec | None:
        """Return the class of that name, ignoring case, or None."""
        wanted = name.strip().casefold()
        return next((spec for spec in self.specs if spec.name.casefold() == wanted), None)

    def find(self, name: str) -> ClassSpec | None:
        """Return the class for a class name in a file, in British or American spelling, or None."""
        spelling = {"tumor": "tumour", "tumour": "tumor"}
        return self.named(name) or self.named(spelling.get(name.strip().casefold(), name))

    def add(self, name: str, color: str | None = None) -> "ClassTable":
        """Return a table with one more class; the default colour is from the palette.

        Raises
        ------
        ProjectError
            If the name is empty or exists, the colour is not ``#rrggbb``, or there are 100 classes already.
        """
        number = self.highest + 1
        return checked_table([*self.specs, ClassSpec(number, name, color or palette_color(number))], self.removed)

    def changed(self, number: int, name: str | None = None, color: str | None = None) -> "ClassTable":
        """Return a table with another name or colour of a class; raises as :meth:`add` does."""
        specs = [
            replace(spec, name=name or spec.name, color=color or spec.color) if spec.index == number else spec
            for spec in self.specs
        ]
        return checked_table(specs, self.removed)

    def moved(self, number: int, place: int) -> "ClassTable":
        """Return a table in which a class is listed at a place, from 1; Background stays the first."""
        if number == BACKGROUND:
            return self
        others = [spec for spec in self.specs if spec.index != number]
        spec = next(spec for spec in self.specs if spec.index == number)
        others.insert(max(1, min(place - 1, len(others))), spec)
        return ClassTable(tuple(others), self.removed)

    def without(self, number: int, into: int = UNLABELLED) -> "ClassTable":
        """Return a table without a class, whose pixels the class `into` takes over, or nobody.

        Raises
        ------
        ProjectError
            If the class is Background or not in the table, no other class but Background is left, or `into` is not
            another one.
        """
        spec = self.numbered(number)
        if spec is None:
            raise ProjectError(f"There is no class {number}. The classes are {', '.join(self.names)}.")
        if number == BACKGROUND:
            raise ProjectError(f"{spec.name} is what is left between the other classes and cannot be removed.")
        if len(self.specs) <= 2:
            raise ProjectError(
                f"{spec.name} is the only class besides {self.specs[0].name}. Add another one before you remove it."
            )
        if into != UNLABELLED and (into == number or into not in self.numbers):
            raise ProjectError(f"{spec.name} cannot be merged into class {into}. Choose one of the other classes.")
        kept = tuple(other for other in self.specs if other.index != number)
        places = self._places
        return ClassTable(kept, (*self.removed, RemovedClass(spec, into, places[places.index(number) - 1])))

    def restored(self, number: int) -> "ClassTable":
        """Return a table in which a removed class is listed again, in its place, under a name that is free."""
        spec = next(gone.spec for gone in self.removed if gone.spec.index == number)
        name, attempt = spec.name, 2
        while self.named(name) is not None:
            name, attempt = f"{spec.name} {attempt}", attempt + 1
        kept = tuple(gone for gone in self.removed if gone.spec.index != number)
        places = self._places
        specs = sorted((*self.specs, replace(spec, name=name)), key=lambda each: places.index(each.index))
        return checked_table(specs, kept)

    @property
    def _places(self) -> list[int]:
        """The numbers of all classes in the order of the list, as if none had been removed."""
        after = {gone.spec.index: gone.after for gone in self.removed}
        places = [spec.index for spec in self.specs]
        for gone in reversed(self.removed):
            missing, anchor = [gone.spec.index], gone.after
            while anchor in after and anchor not in places and anchor not in missing:
                missing.append(anchor)
                anchor = after[anchor]
            at = places.index(anchor) + 1 if anchor in places else len(places)
            places[at:at] = [number for number in reversed(missing) if number not in places]
        return places

    @property
    def _by_number(self) -> dict[int, ClassSpec]:
        return {spec.index: spec for spec in (*self.specs, *(gone.spec for gone in self.removed))}


def removed_name(name: str, number: int) -> str:
    """Return what a class is called after it was removed; no other class has that name."""
    return f"{name} (removed, {number})"


def class_table(entries: Sequence[tuple[str, str | None]]) -> ClassTable:
    """Return the table of (name, colour or None) in order, Background first.

    Raises
    ------
    ProjectError
        If a name is empty or repeated, a colour is not ``#rrggbb``, or there are too few or too many classes.
    """
    if not 2 <= len(entries) <= MAXIMUM_CLASSES:
        raise ProjectError(
            f"A project has {len(entries)} classes; it needs 2 to {MAXIMUM_CLASSES}: Background and what the model "
            "should find."
        )
    return checked_table([ClassSpec(n, name, color or palette_color(n)) for n, (name, color) in enumerate(entries, 1)])


def checked_table(specs: Sequence[ClassSpec], removed: Sequence[RemovedClass] = ()) -> ClassTable:
    """Return the table of these classes; raises as :func:`class_table` does."""
    numbers = [spec.index for spec in (*specs, *(gone.spec for gone in removed))]
    if len(specs) > MAXIMUM_CLASSES or sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise ProjectError(
            f"A project has {len(specs)} classes, and {len(removed)} that were removed; it may have "
            f"{MAXIMUM_CLASSES}, with numbers from 1."
        )
    if len(numbers) > HIGHEST_NUMBER:
        raise ProjectError(f"A project has had {HIGHEST_NUMBER} classes, which is all it can have. Make a new project.")
    checked: list[ClassSpec] = []
    for spec in specs:
        name = spec.name.strip()
        if not name or name.casefold() in {other.name.casefold() for other in checked}:
            raise ProjectError(f'Class {spec.index} is named "{spec.name}"; give each class a different name.')
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", spec.color):
            raise ProjectError(f'The colour of class "{spec.name}" is "{spec.color}"; write it as #rrggbb.')
        checked.append(ClassSpec(spec.index, name, spec.color.lower()))
    return ClassTable(tuple(checked), tuple(removed))


def palette_color(number: int) -> str:
    """Return the colour that a class has until a person chooses one."""
    return _PALETTE[(number - 1) % len(_PALETTE)]


DEFAULT_CLASSES = class_table([("Background", None), ("Tumour", None)])
