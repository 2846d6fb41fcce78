"""The interactive tools on the canvas: brush, wand, live-wire, superpixels, polygon.

It may import `ui.session`, `ui.layers`, `ui.widgets` and the packages below `ui`, but no panel.  Begin with
`registry.py`, which has one row per tool.
"""
