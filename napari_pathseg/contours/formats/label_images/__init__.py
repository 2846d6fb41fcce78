"""Label images: masks stored as PNG, TIFF or BMP, and OME-TIFF pyramids.

It may import `contours.formats.limits`, `storage` and `errors`; it knows no project.  Begin with `reader.py`.
"""
