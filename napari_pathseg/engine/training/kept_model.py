"""What lies beside the live model that a project keeps: of which labels it is made, and how it scores tile by tile."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

from napari_pathseg.engine.bundle import Bundle, keeps_live_model, load_bundle
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json
from napari_pathseg.storage.json_schema import load_record

_FILE = "kept.json"


class _Stored(TypedDict):
    labels: str  # a hash of what it depends on
    dice: list[float]
    pixels: NotRequired[dict[str, list[int]]]


@dataclass(frozen=True)
class KeptLive:
    """A live model that was kept.

    Attributes
    ----------
    bundle
        Its metadata.
    labels
        A hash of what it was made of.
    dice
        Its mean Dice on the first tile of those that are held out, on the first two, and so on.
    pixels
        The labels that it was made of, by slide, see `slide_record.labels_in_numbers`; none in older files.
    """

    bundle: Bundle
    labels: str
    dice: list[float]
    pixels: dict[str, list[int]] = field(default_factory=dict)

    def dice_on(self, tiles: int) -> float | None:
        """Return its mean Dice on so many of the held-out tiles, as a training samples them; None if unknown."""
        if tiles == self.bundle.held_out_tiles:
            return self.bundle.mean_dice
        return self.dice[tiles - 1] if 0 < tiles <= len(self.dice) else None

    def dice_beside(self, other: Bundle) -> float | None:
        """Return its mean Dice on what another model was scored on, None if the two do not compare."""
        same = sorted(self.bundle.val) == sorted(other.val) and self.bundle.held_out == other.held_out
        return self.dice_on(other.scored_tiles) if same else None

    def save(self, folder: Path) -> None:
        """Write what its bundle, in that folder, does not say."""
        save_json(folder / _FILE, _Stored(labels=self.labels, dice=self.dice, pixels=self.pixels))


def load_kept_live(project: Project) -> KeptLive | None:
    """Read the live model that a project keeps; None if it has not kept one, or that is damaged."""
    if not keeps_live_model(project):
        return None
    folder = project.folder / "models" / LIVE_MODEL
    try:
        kept = load_record(folder / _FILE, _Stored, "Delete it.")
        return KeptLive(load_bundle(folder), kept["labels"], kept["dice"], kept.get("pixels", {}))
    except PathsegError:
        return None
