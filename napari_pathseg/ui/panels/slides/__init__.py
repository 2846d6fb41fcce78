"""The Slides section: the list, adding and importing, versions, patients, pyramid conversion.

It may import `ui.session`, `ui.widgets` and the packages below `ui`.  Begin with `slides.py`.
"""
