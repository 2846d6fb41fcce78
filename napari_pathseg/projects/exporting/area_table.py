"""The table of areas, one row for each class of each slide: the window and the CSV file show the same one."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from napari_pathseg.classes import ClassTable
from napari_pathseg.masks.provenance import Counts, Provenance
from napari_pathseg.projects.areas import ClassArea
from napari_pathseg.storage.atomic import replace_file

COLUMNS = (
    "slide",
    "class",
    "mask_pixels",
    "share_of_labelled",
    "area_mm2",
    "percent_of_tissue",
    "percent_reviewed",
)


@dataclass(frozen=True)
class AreaRow:
    """The area of a class on a slide, in the order of `COLUMNS`.

    Attributes
    ----------
    slide, class_name
        What it is the area of.
    pixels
        Pixels of the mask.
    share_of_labelled
        Fraction of the slide's labelled pixels.
    mm2
        Square millimetres; None if the pixel size is unknown.
    percent_of_tissue
        Share of the tissue; None if the tissue is unknown.
    percent_reviewed
        Share of the class's pixels that a person drew, accepted or corrected; None for a class without pixels, and for
        a model's prediction.
    """

    slide: str
    class_name: str
    pixels: int
    share_of_labelled: float
    mm2: float | None
    percent_of_tissue: float | None
    percent_reviewed: float | None

    @property
    def texts(self) -> list[str]:
        """The cells as the file has them, "" for what is unknown."""
        name, class_name, pixels, *numbers = astuple(self)
        return [name, class_name, str(pixels), *("" if number is None else f"{number:.6g}" for number in numbers)]


def area_rows(slide: str, classes: ClassTable, areas: dict[int, ClassArea], counts: Counts | None) -> list[AreaRow]:
    """Return the rows of a slide from its areas by class and the counts of its mask, None for a prediction."""
    labelled = max(1, sum(area.pixels for area in areas.values()))
    rows = []
    for spec in classes:
        area, reviewed = areas[spec.index], None
        if counts is not None and area.pixels:
            reviewed = 100 * (1 - min(1.0, int(counts[spec.index, Provenance.MODEL]) / area.pixels))
        share = area.pixels / labelled
        rows.append(AreaRow(slide, spec.name, area.pixels, share, area.mm2, area.percent_of_tissue, reviewed))
    return rows


def totals(rows: Sequence[AreaRow]) -> dict[str, tuple[float | None, float | None]]:
    """Return mm² and percent reviewed of each class over all slides, None for what is not known of all its pixels."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for name in dict.fromkeys(row.class_name for row in rows):
        of_class = [row for row in rows if row.class_name == name and row.pixels]
        pixels = sum(row.pixels for row in of_class)
        mm2 = [row.mm2 for row in of_class if row.mm2 is not None]
        reviewed = [row.pixels * row.percent_reviewed for row in of_class if row.percent_reviewed is not None]
        found[name] = (
            sum(mm2) if len(mm2) == len(of_class) else None,
            sum(reviewed) / pixels if pixels and len(reviewed) == len(of_class) else None,
        )
    return found


def write_area_table(path: Path, rows: Iterable[AreaRow]) -> None:
    """Write rows as a CSV file, whole or not at all."""
    with replace_file(path) as partial_path, partial_path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(row.texts for row in rows)
