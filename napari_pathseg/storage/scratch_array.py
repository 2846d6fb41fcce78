"""An array as large as a whole slide's mask, of which little is used: in memory, or where it is too large in a file."""

import tempfile

import numpy as np
import numpy.typing as npt

_LARGEST_IN_MEMORY = 1 << 29  # bytes


def canvas(shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return zeros of a shape; only what is written takes space, and the file is gone with the array."""
    if shape[0] * shape[1] <= _LARGEST_IN_MEMORY:
        return np.zeros(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="pathseg-") as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
