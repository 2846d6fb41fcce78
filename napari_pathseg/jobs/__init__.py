"""How work runs outside the window: run folders, and the worker process."""
