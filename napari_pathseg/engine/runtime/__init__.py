"""How a trained network computes: with torch or OpenVINO, in float32 or bfloat16; the fastest that is right.

It may import `engine.networks`, torch and OpenVINO, which may be absent.  Begin with `choice.py`.
"""
