"""Synthetic H&E slides with contours, for the demo, the sample data and the tests.

It may import `slides` and `contours`; of the product only the demo and the test picture of an exported model depend on
it.  Begin with `slides.py`.
"""

from napari_pathseg.samples.pyramid import write_pyramid
from napari_pathseg.samples.slides import write_sample_slides
from napari_pathseg.samples.tissue import draw_field

__all__ = ["draw_field", "write_pyramid", "write_sample_slides"]
