"""Training data: tiles of slides with their labels, stain normalisation and augmentation.

It may import `projects` and the packages below that, and torch, but no other package of `engine`.  Begin
with `patches.py`, which draws the tiles.
"""
