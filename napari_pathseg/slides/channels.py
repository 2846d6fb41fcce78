"""Which channels of an image are the red, green and blue of one picture in colour: one rule for all containers.

Channels are colour where their names or their colours say so.  Where nothing is said of them, three channels of 8 bits
are: so H&E is written, plane by plane.  Names or colours of anything else, or a fluorophore, make each
channel a slide of its own.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_RGB = (0xFF0000, 0x00FF00, 0x0000FF)
# Pure green of some writers is the darker "green" of HTML.
_GREENS = (0x00FF00, 0x008000)
_NAMES = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}
_ALPHA = frozenset({"a", "alpha", "transparency", "opacity"})
# Names that writers give where they know none, or that mean light seen by eye.
_NEUTRAL = re.compile(r"((channel|chan|ch|c|band|sample|image|plane)?[\s_#-]*[\d:/\s]*|bright\s*-?field|rgb|h\s*&\s*e)")


class Channel(NamedTuple):
    """What a file says of a channel: its name, its colour ``0xRRGGBB``, and whether it shows fluorescence."""

    name: str = ""
    colour: int | None = None
    fluorescent: bool = False


class ColourChannels(NamedTuple):
    """The indices of the channels that make a picture in colour, and of its alpha if it has one."""

    red: int
    green: int
    blue: int
    alpha: int | None = None


def colour_channels(channels: Sequence[Channel], count: int, bits: int) -> ColourChannels | None:
    """Return which of `count` channels are red, green and blue, or None if each is a picture of its own.

    Parameters
    ----------
    channels
        What the file says of them, in their order; may be fewer.
    count
        How many there are: 3, or 4 with alpha.
    bits
        Bits of a sample; 0 where channels of which nothing is said are not colour.

    >>> colour_channels([Channel("Red"), Channel("Green"), Channel("Blue")], 3, 16)
    ColourChannels(red=0, green=1, blue=2, alpha=None)
    >>> colour_channels([Channel("DAPI"), Channel("FITC"), Channel("TRITC")], 3, 8)
    """
    if count not in (3, 4):
        return None
    known = [*channels, *[Channel()] * count][:count]
    names = [channel.name.strip().casefold() for channel in known]
    alpha = next((index for index, name in enumerate(names) if name in _ALPHA), None)
    if alpha is None and count == 4 and not names[3] and known[3].colour is None:
        alpha = 3
    rest = [index for index in range(count) if index != alpha]
    if len(rest) != 3:
        return None
    places = [_NAMES.get(names[index]) for index in rest]
    if set(places) == {0, 1, 2}:
        red, green, blue = (rest[places.index(place)] for place in range(3))
        return ColourChannels(red, green, blue, alpha)
    if any(known[index].fluorescent or not _NEUTRAL.fullmatch(names[index]) for index in rest):
        return None
    colours = [known[index].colour for index in rest]
    if _are_rgb(colours) or (_say_nothing(colours) and bits == 8):
        return ColourChannels(rest[0], rest[1], rest[2], alpha)
    return None


def _are_rgb(colours: Sequence[int | None]) -> bool:
    red, green, blue = colours
    return (red, blue) == (_RGB[0], _RGB[2]) and green in _GREENS


def _say_nothing(colours: Sequence[int | None]) -> bool:
    """Return whether no colour is given, or the same one for all, which says as little."""
    return len(set(colours)) == 1 and colours[0] in (None, 0xFFFFFF, 0x808080, 0)
