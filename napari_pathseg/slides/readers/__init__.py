"""One adapter per source of slides: TIFF, OME-Zarr, OpenSlide, plain image files.

Each is a subclass of `slides.slide.Slide` and may import `slides` and `storage`, never another package.  Begin with
`image_file.py`, the shortest.
"""
