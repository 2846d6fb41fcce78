"""The napari layers of a slide: its image, its paintable mask, overlays, tissue and shapes.

It may import napari and the packages below `ui`.  Begin with `slide_layers.py`, then `mask_layer.py`.
"""
