"""The Outline section: classes, tools and their options, clean-up, selection and complete boxes.

It may import `ui.session`, `ui.layers`, `ui.tools`, `ui.widgets` and the packages below `ui`.  Begin with
`annotate.py`.
"""
