"""Label images: masks stored as PNG, TIFF or BMP, and OME-TIFF pyramids.

It may import `contours.formats.limits`, `storage` and `errors`, not `projects`.  Begin with `reader.py`.
"""
