"""Check the content of a JSON file against a dataclass or TypedDict, its schema, before anything uses it.

Types, ranges and lengths are in the annotations of the schema.  Unknown keys are ignored, so that a file of a
newer version can be read.
"""

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.atomic import load_json

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Side = Annotated[int, Meta(ge=1, le=2**31 - 1)]
PixelSize = Annotated[float, Meta(gt=0, le=1e6)]  # micrometres
Fraction = Annotated[float, Meta(ge=0, le=1)]


class SchemaError(ValueError):
    """A value is missing, of the wrong type or out of range; the message names it."""


def conform(content: Any, schema: type[T]) -> T:
    """Return JSON values as an instance of `schema`, in which dictionaries may have whole numbers as keys.

    Raises
    ------
    SchemaError
        If they do not conform to it.

    >>> from typing import TypedDict
    >>> class Size(TypedDict):
    ...     sides: list[Side]
    >>> conform({"sides": [3, "4"]}, Size)
    Traceback (most recent call last):
    napari_pathseg.storage.json_schema.SchemaError: expected int, got str at sides[1]
    """
    try:
        return msgspec.convert(content, schema, str_keys=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise SchemaError(_plain(str(error))) from error


def load_record(path: Path, schema: type[T], remedy: str) -> T:
    """Read a JSON file as an instance of `schema`.

    Raises
    ------
    ProjectError
        If it is missing, damaged or does not conform; the message ends with `remedy`, what to do then.
    """
    try:
        return conform(load_json(path), schema)
    except SchemaError as error:
        raise ProjectError(f"{path} is damaged: {error}. {remedy}") from error


def _plain(message: str) -> str:
    """Return a message of msgspec as it stands in a sentence.

    >>> _plain("Expected `int`, got `str` - at `$.network.channels`")
    'expected int, got str at network.channels'
    """
    message = re.sub(r"`\$\.?", "", message.replace(" - at ", " at ")).replace("`", "")
    return (message[:1].lower() + message[1:]).removesuffix(" at ")
