"""Types of the arrays that travel between packages, named by what their elements are.

What the axes mean stands where an array is taken or returned.
"""

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
