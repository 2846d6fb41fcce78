"""Outlines of annotated areas: their geometry, and the way from outlines to label masks and back.

It may import `slides` and `storage`, never painted masks or projects.  Begin with `contour.py`, then `rasterize.py`
and `vectorize.py`.
"""
