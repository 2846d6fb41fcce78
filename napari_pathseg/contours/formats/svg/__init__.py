"""SVG: shapes, styles, transforms, units and reuse, under limits for hostile files.

It may import `contours`; CSS selectors and scripts are out of scope.  Begin with `svg.py`.
"""
