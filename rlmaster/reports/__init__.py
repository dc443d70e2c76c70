"""What a run leaves for people: curves, plots, a one-sentence result and a LaTeX report."""
