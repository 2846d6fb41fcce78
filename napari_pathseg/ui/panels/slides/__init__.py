"""The Slides section: the list, adding and importing, versions, patients, pyramid conversion.

It may import `ui.session` and `ui.widgets`.  Begin with `slides.py`.
"""
