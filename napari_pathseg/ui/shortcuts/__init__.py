"""Keyboard shortcuts: the key map, the actions behind it, QuPath's keys.

It may import `ui.session` and `ui.tools`.  Begin with `keymap.py`.
"""
