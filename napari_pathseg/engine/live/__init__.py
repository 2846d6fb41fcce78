"""The live model: a linear classifier that follows each stroke, on features of a frozen encoder that are kept.

The features of a slide are computed once, tile by tile, and kept in memory and beside the project.
"""
