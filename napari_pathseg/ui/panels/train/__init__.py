"""The Train section: presets, settings, curves, and the search for settings.

It may import `ui.session`, `ui.widgets` and the rooms below `ui`.  Begin with `train.py`.
"""
