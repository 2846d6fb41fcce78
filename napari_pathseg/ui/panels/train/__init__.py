"""The Train section: presets, settings, curves, tuning.

It may import `ui.session` and `ui.widgets`.  Begin with `train.py`.
"""
