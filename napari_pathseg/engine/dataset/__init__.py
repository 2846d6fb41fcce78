"""Training data: patches of slides with their labels, stain normalisation and augmentation.

It may import `projects` and what lies below, and torch; it knows no optimizer and no network.  Begin with
`patches.py`.
"""
