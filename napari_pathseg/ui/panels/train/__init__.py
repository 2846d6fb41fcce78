"""The Train section: presets, settings, curves, and the search for settings.

It may import `ui.session`, `ui.widgets` and the packages below `ui`.  Begin with `train.py`.
"""
