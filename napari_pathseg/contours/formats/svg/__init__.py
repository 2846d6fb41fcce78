"""Read and write contours in SVG: shapes, transforms, units, styles and copies, with limits for hostile files.

It may import `contours` and what every package may use.  Begin with `svg.py`, which reads and writes; `parser.py`
walks the elements, `path.py` and `shapes.py` turn them into points, `fill.py` tells outlines from holes.

Out of scope: CSS selectors beyond the simple ones, media queries, scripts, animation, clipping, masks, text and images.
"""
