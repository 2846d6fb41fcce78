"""Label images as contours: class indices, colours or palettes, flat or pyramidal.

It may import `contours` and `slides`.  Begin with `label_image.py`.
"""
