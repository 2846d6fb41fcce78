"""Drawn H&E-like slides, for samples, tests and benchmarks; none is of a patient.

`tissue` draws a field with or without tumour, `slides` makes the sample slides with an
expert's outlines, `pyramid` writes pyramids of any size.
"""

from napari_pathseg.data.synthetic.pyramid import write_pyramid
from napari_pathseg.data.synthetic.slides import write_sample_slides
from napari_pathseg.data.synthetic.tissue import draw_field

__all__ = ["draw_field", "write_pyramid", "write_sample_slides"]
