"""Guidance: where the next annotation teaches most.

`patches` describes unlabelled tissue, `ranking` chooses among patches, `next_places` does both for a project.
"""
