"""The order of names as people sort them."""

import re

_NUMBERS = re.compile(r"(\d+)")


def natural_key(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Return what sorts names as people do: numbers by value, letters whatever their case.

    >>> sorted(["slide10", "Slide9", "slide1"], key=natural_key)
    ['slide1', 'Slide9', 'slide10']
    """
    parts = [part for part in _NUMBERS.split(name) if part]
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in parts], name
