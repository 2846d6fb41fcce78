"""The report on a model: one HTML page that needs nothing else, and the same figures as JSON.

It may import the rest of `engine`, torch and `projects`.  Begin with `report.py`, then `content.py`.
"""
