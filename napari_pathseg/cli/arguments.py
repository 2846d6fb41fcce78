"""Arguments that several commands share; options for settings are derived from `config`."""

import argparse
import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_pathseg.cli.examples import EXAMPLES
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.settings_file import load_settings
from napari_pathseg.cli.shown import SHOWN
from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Settings

if TYPE_CHECKING:
    from napari_pathseg.contours.alignment import AxisScaleTransform
    from napari_pathseg.projects.project import Project

_SettingsT = TypeVar("_SettingsT", bound=Settings)

ROLES = ("auto", "train", "val", "test")
# The keys of `contours.formats.FORMATS`, whose import costs time; a test compares them.
CONTOURS = "svg, asap, aperio, halo, ndpa, cvat, geojson, coco, labelme"
PIXELS = ("index", "palette", "colour", "binary")  # those of `projects.exporting.label_pixels`, tested likewise


class _HelpFormatter(argparse.HelpFormatter):
    """Leaves the lines of the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


def add_command(
    parsers: Any, name: str, run: Callable[[argparse.Namespace], Answer], help: str, *, project: bool = True
) -> argparse.ArgumentParser:
    """Add a command that `run` carries out, with the argument PROJECT if it works on one; return its parser."""
    examples = "\n".join(f"  pathseg {example}" for example in EXAMPLES[name])
    command: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=help,
        description=help.capitalize() + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=_HelpFormatter,
    )
    command.set_defaults(run=run, show=SHOWN[name])
    command.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    if project:
        command.add_argument("project", type=Path, metavar="PROJECT", help="the project folder")
    return command


def add_model_option(command: argparse.ArgumentParser) -> None:
    """Add the option that names a model."""
    command.add_argument("--model", metavar="ID", help="name of the model (the current one)")


def add_slide_option(command: argparse.ArgumentParser, default: str = "all slides") -> None:
    """Add the option that names slides; `default` says which the command takes without it."""
    command.add_argument("--slide", action="append", help=f"name of a slide; may be repeated ({default})")


def add_pixel_size_option(command: argparse.ArgumentParser) -> None:
    """Add the option for the pixel size of slides."""
    about = "micrometres per pixel of the slides, if their files give none or a wrong one"
    command.add_argument("--pixel-size", type=float, metavar="UM", help=about)


def add_transform_options(command: argparse.ArgumentParser) -> None:
    """Add the options that align contours and label images with their slide."""
    command.add_argument(
        "--scale", type=float, help="scale contours or label images by this factor; 1: as in the file (1)"
    )
    command.add_argument("--swap-axes", action="store_true", help="swap rows and columns of contours or label images")
    command.add_argument("--swapped", dest="swap_axes", action="store_true", help=argparse.SUPPRESS)


def given_transform(args: argparse.Namespace) -> "AxisScaleTransform | None":
    """Return the transform of --scale and --swap-axes, None without them."""
    from napari_pathseg.contours.alignment import AxisScaleTransform

    if args.scale is None and not args.swap_axes:
        return None
    return AxisScaleTransform(1.0 if args.scale is None else args.scale, args.swap_axes)


def add_label_image_options(command: argparse.ArgumentParser, needs: str = "") -> None:
    """Add the options of exported label images; `needs` ends their help."""
    command.add_argument(
        "--pixels",
        default="index",
        choices=PIXELS,
        help="label images of class numbers, of numbers with the class colours as palette, of these colours, or of 255 "
        f"for all classes but Background and 0 elsewhere{needs} (index)",
    )
    command.add_argument(
        "--probabilities",
        action="store_true",
        help=f"also write a grey image of the probability of each class but Background, 0 to 255{needs}",
    )
    command.add_argument("--suffix", default="", help=f"added to the names of the files, such as _mask{needs} (none)")


def add_setting_options(command: argparse.ArgumentParser, kind: type[Settings]) -> None:
    """Add an option for each setting of `kind`, hidden ones for its former names, and one for a file of settings."""
    groups: dict[str, Any] = {"": command}
    about = "settings from a file: TOML, or the config.json of a training; options given besides it win"
    command.add_argument("--config", type=Path, metavar="FILE", help=about)
    for field, info in kind.described():
        if info.group not in groups:
            groups[info.group] = command.add_argument_group(info.group)
        unit = f" [{info.unit}]" if info.unit else ""
        name, text = "--" + field.name.replace("_", "-"), f"{info.help}{unit} ({field.default})"
        options: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if not isinstance(field.default, bool):
            options = {"type": type(field.default), "metavar": "|".join(info.choices) or field.name.upper()}
        groups[info.group].add_argument(name, help=text, **options)
        for alias in info.aliases:
            old_name = "--" + alias.replace("_", "-")
            command.add_argument(old_name, dest=field.name, help=argparse.SUPPRESS, **options)


def given_settings(kind: type[_SettingsT], args: argparse.Namespace) -> _SettingsT:
    """Return the settings that were given as options, or else in the file; the others have their defaults."""
    values = {field.name: getattr(args, field.name) for field, _ in kind.described()}
    given = {name: value for name, value in values.items() if value is not None}
    if args.config is None:
        return kind(**given)
    return kind.from_json(load_settings(args.config)).replace(**given)


def region(text: str) -> tuple[int, ...]:
    """Return the numbers of ROW,COL,HEIGHT,WIDTH; the type of an argument."""
    parts = [part.strip() for part in text.split(",")]
    numbers = tuple(int(part) for part in parts if part.isdecimal())
    if len(numbers) != 4 or len(parts) != 4 or 0 in numbers[2:]:
        raise argparse.ArgumentTypeError(f"{text} must be four whole numbers, the last two not 0: ROW,COL,HEIGHT,WIDTH")
    return numbers


def open_project(args: argparse.Namespace) -> "Project":
    """Open the project that the command was given."""
    from napari_pathseg.projects.project import Project

    return Project.open(args.project)


def expand_patterns(names: Iterable[str | Path]) -> list[str]:
    """Return the files that `names` match, in order; patterns are expanded here because not every shell does it.

    Raises
    ------
    ConfigError
        If a pattern matches nothing.
    """
    files: list[str] = []
    for name in map(str, names):
        if not glob.has_magic(name) or Path(name).exists():  # "stack[2].tif" can be a file
            files.append(name)
            continue
        matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise ConfigError(
                f"{name}: no file matches this pattern, seen from {Path.cwd()}. Check the folder and the suffix."
            )
        files += matches
    return files
