"""Models that travel: the model card, packages for other programs, and what is taken in from elsewhere.

It may import the rest of `engine` and torch; onnx, onnxruntime and bioimageio.spec are of the extra
``[export]``.  Begin with `model_export.py` and `model_import.py`.
"""
