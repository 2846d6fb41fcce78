"""The sections of the dock, one module each: what the user sees and may do; no number is computed here."""
