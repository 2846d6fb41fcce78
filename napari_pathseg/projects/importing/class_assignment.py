"""Which class of the project each contour of a file is imported as.

A contour with a class name is of the project's class of that name.  One without is never given a class unnoticed: its
layer or name may be that of a class; beside contours that have a class it is left out; if a file has no classes but
several kinds of contours, the user has to say what they are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from napari_pathseg.classes import UNLABELLED, ClassTable
from napari_pathseg.contours.class_names import contour_names, is_generic, unnumbered
from napari_pathseg.contours.contour import Contour
from napari_pathseg.errors import AnnotationError

_MAX_SHOWN = 5  # kinds of contours in a message


class ClassAssignment(NamedTuple):
    """The class index of each contour, None for those to leave out, and a warning for the user."""

    labels: list[int | None]
    warning: str = ""


def class_index(classes: ClassTable, name: str, chosen: Mapping[str, int]) -> int | None:
    """Return the class index for a name in a file, or None if the project has no such class.

    `chosen` takes precedence.  Names that end in ``*``, such as QuPath's ``Ignore*``, are unlabelled.
    """
    if name in chosen:
        return chosen[name]
    if name.endswith("*"):
        return UNLABELLED
    spec = classes.find(name)
    return None if spec is None else spec.index


def assign_classes(
    contours: Sequence[Contour], classes: ClassTable, chosen: Mapping[str, int], file_name: str
) -> ClassAssignment:
    """Return the class index of each contour; `chosen` has those that the user chose, by `contour_names`.

    Raises
    ------
    AnnotationError
        If a class is unknown, or the contours have no class but are of several kinds.
    """
    names = contour_names(contours)
    known = {name: _index(classes, name, chosen) for name in dict.fromkeys(names)}
    for number, (name, contour) in enumerate(zip(names, contours, strict=True), 1):
        if contour.class_name.strip() and known[name] is None:
            raise AnnotationError(
                f'{file_name}, contour {number}: class "{name}" is unknown. The project has: '
                f'{", ".join(classes.names)}. Rename it, add the class, or map it: --map "{name}=CLASS".'
            )
    undecided = Counter(name for name in names if known[name] is None)
    warning = ""
    if undecided and "" in chosen:
        known |= dict.fromkeys(undecided, chosen[""])
    elif undecided and len(undecided) < len(known):
        warning = _left_out(undecided, file_name)
    elif len(undecided) == 1:
        [name] = undecided
        known[name] = classes.specs[1].index
        warning = _guessed(name, classes, file_name)
    elif undecided:
        raise AnnotationError(_ask(undecided, file_name))
    return ClassAssignment([known[name] for name in names], warning)


def default_classes(contours: Sequence[Contour], classes: ClassTable) -> dict[str, int | None]:
    """Return the class index of each name of `contour_names`, None where the user has to choose."""
    names = dict.fromkeys(contour_names(contours))
    found = {name: _index(classes, name, {}) for name in names}
    if len(found) == 1 and None in found.values():
        [name] = found
        if not contours[0].class_name.strip() and not _guessed(name, classes, ""):
            found[name] = classes.specs[1].index
    return found


def _index(classes: ClassTable, name: str, chosen: Mapping[str, int]) -> int | None:
    index = class_index(classes, name, chosen)
    return class_index(classes, unnumbered(name), chosen) if index is None and unnumbered(name) else index


def _left_out(undecided: Mapping[str, int], file_name: str) -> str:
    count = sum(undecided.values())
    contours = "1 contour without a class was" if count == 1 else f"{count} contours without a class were"
    named = f" ({_list(undecided)})" if any(undecided) else ""
    return (
        f"{file_name}: {contours} left out, as others in the file have one{named}. If they are of a class, import them "
        f"with {_options(undecided)}."
    )


def _guessed(name: str, classes: ClassTable, file_name: str) -> str:
    """Return the warning about contours without a class that were given the first one; empty if there is no other."""
    if is_generic(name) and len(classes) == 2:
        return ""
    said = "" if is_generic(name) else f' but "{name}", which is no class of the project,'
    return (
        f"{file_name}: its contours have no class{said} and were imported as {classes.specs[1].name}. If that is "
        f'wrong, import it again with --map "{name}=CLASS".'
    )


def _ask(undecided: Mapping[str, int], file_name: str) -> str:
    return (
        f"{file_name}: its contours have no class, but are of {len(undecided)} kinds: {_list(undecided)}. Say what "
        f'they are with {_options(undecided)}; --map "=CLASS" is for all of them.'
    )


def _list(undecided: Mapping[str, int]) -> str:
    listed = [f"{name or 'without a name'}: {count}" for name, count in undecided.items()]
    return ", ".join(listed[:_MAX_SHOWN]) + (" ..." if len(listed) > _MAX_SHOWN else "")


def _options(undecided: Mapping[str, int]) -> str:
    options = " ".join(f'--map "{name}=CLASS"' for name in list(undecided)[:_MAX_SHOWN])
    return options + (" ..." if len(undecided) > _MAX_SHOWN else "")
