"""What the window works on and may do: the open project, its slide, mask, selection and jobs.

Neither Qt nor torch is imported here, so all of it is tested without a window.  Panels talk to `Session` alone.
Begin with `session.py`.
"""
