"""The Outline section: classes, tools, clean-up.

It may import `ui.session`, `ui.tools` and `ui.widgets`.  Begin with `annotate.py`.
"""
