"""How a network learns from a project and predicts on a slide; torch lives here."""
