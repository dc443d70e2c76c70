"""Training: the process that learns, and all that it keeps in the run folder."""
