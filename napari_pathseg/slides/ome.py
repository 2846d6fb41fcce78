"""OME-XML: what it says of the pixels and channels of each of its images.

Read by a parser, since quotes, references (``&#181;m``), namespaces and comments are XML's.  The text is untrusted: a
document type and entities are refused, and only the attributes of a few elements are kept.  Of a text that is damaged
counts what stands before the damage.
Source: https://www.openmicroscopy.org/Schemas/Documentation/Generated/OME-2016-06/ome.html.
"""

from contextlib import suppress
from dataclasses import dataclass
from xml.parsers import expat

from napari_pathseg.slides.channels import Channel
from napari_pathseg.slides.pixel_size import PixelSize, pixel_size_from_scales, to_number

_MAX_IMAGES, _MAX_CHANNELS = 10_000, 1_000
# Attributes and values that only channels of fluorescence have.
_FLUORESCENT = ("Fluor", "EmissionWavelength", "ExcitationWavelength", "EmissionWave", "ExcitationWave")


@dataclass(frozen=True)
class OmeImage:
    """The ``Pixels`` of an image.

    Attributes
    ----------
    pixel_size
        Micrometres per pixel, None where no plausible one is given.
    significant_bits
        How many bits of a sample are used; None where that is not said.
    channels
        Its channels in their order; may be fewer than it has.
    """

    pixel_size: PixelSize | None
    significant_bits: int | None
    channels: tuple[Channel, ...]


def read_ome(xml: str) -> list[OmeImage]:
    """Return the images of an OME-XML in their order.

    >>> xml = "<OME><Image><Pixels PhysicalSizeX='250' PhysicalSizeXUnit='nm'/></Image></OME>"
    >>> read_ome(xml)[0].pixel_size
    PixelSize(x=0.25, y=0.25)
    """
    images: list[tuple[dict[str, str], list[Channel]]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "Pixels" and len(images) < _MAX_IMAGES:
            images.append((attributes, []))
        elif name == "Channel" and images and len(images[-1][1]) < _MAX_CHANNELS:
            images[-1][1].append(_channel(attributes))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _refuse
    with suppress(expat.ExpatError, _RefusedError, ValueError):  # what was read so far counts
        parser.Parse(xml, True)
    return [_image(attributes, channels) for attributes, channels in images]


class _RefusedError(Exception):
    """The text has a document type."""


def _refuse(*_: object) -> None:
    raise _RefusedError


def _image(attributes: dict[str, str], channels: list[Channel]) -> OmeImage:
    scales = []
    for axis in "XY":
        size = to_number(attributes.get(f"PhysicalSize{axis}", ""))
        scales.append(None if size is None else (size, attributes.get(f"PhysicalSize{axis}Unit")))
    bits = attributes.get("SignificantBits", "").strip()
    known = bits.isdecimal() and 1 <= int(bits) <= 32
    return OmeImage(pixel_size_from_scales(*scales), int(bits) if known else None, tuple(channels))


def _channel(attributes: dict[str, str]) -> Channel:
    fluorescent = any(attributes.get(name) for name in _FLUORESCENT)
    fluorescent |= attributes.get("ContrastMethod") == "Fluorescence"
    text = attributes.get("Color", "").strip()
    # A signed integer of 32 bits: red, green, blue, alpha.
    colour = int(text) >> 8 & 0xFFFFFF if text.removeprefix("-").isdecimal() and len(text) < 12 else None
    return Channel(attributes.get("Name", ""), colour, fluorescent)
