"""Where the sample slides lie."""

from pathlib import Path

from napari_pathseg.samples.slides import write_sample_slides
from napari_pathseg.storage.cache_folder import cache_folder

SLIDE_COUNT = 6


def sample_folder(cache: Path | None = None, count: int = SLIDE_COUNT) -> Path:
    """Return the folder with the first `count` sample slides and their contours.

    A checkout has them; elsewhere they are drawn once, 3 seconds each, into `cache`.
    """
    shipped = Path(__file__).parents[2] / "sample_data"
    folder = shipped if shipped.is_dir() else (cache or cache_folder()) / "sample_slides"
    missing = [number for number, path in enumerate(sample_slides(folder)[:count], 1) if not path.is_file()]
    if missing:
        write_sample_slides(folder, numbers=missing)
    return folder


def sample_slides(folder: Path) -> list[Path]:
    """Return the paths of the sample slides in `folder`, in order."""
    return [folder / f"slide_{number:02d}.tif" for number in range(1, SLIDE_COUNT + 1)]
