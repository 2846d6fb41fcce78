"""Slides: pixels at any level of a pyramid, their size in micrometres, and where tissue lies.

It may import `storage` and what every package may use; contours and projects lie above it.  Begin with
`slide.py`, the abstract base class, then `registry.py`, which opens a file with the reader that fits.
"""
