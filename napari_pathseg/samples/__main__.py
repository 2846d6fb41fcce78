"""``python -m napari_pathseg.samples FOLDER`` writes the sample slides."""

import argparse
from pathlib import Path

from napari_pathseg.samples.slides import write_sample_slides


def main() -> None:
    """Write the sample slides into the folder given on the command line."""
    parser = argparse.ArgumentParser(description="Write six synthetic H&E slides and their outlines.")
    parser.add_argument("folder", type=Path, help="folder for the slides; created if missing")
    parser.add_argument("--seed", type=int, default=2017, help="the same seed gives the same slides")
    arguments = parser.parse_args()
    write_sample_slides(arguments.folder, arguments.seed)


if __name__ == "__main__":
    main()
