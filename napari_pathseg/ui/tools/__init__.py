"""The interactive tools on the canvas: brush, wand, live-wire, superpixels, polygon.

It may import `ui.session`, `ui.layers`, `ui.widgets` and `interactive`.  Begin with `registry.py`, one row per tool.
"""
