"""Guidance: where the next annotation teaches most, and where annotations may be wrong.

`patches` describes unlabelled tissue, `ranking` chooses among patches, `next_places` does both for a project;
`disagreements` compares labels with what models have stored.
"""
