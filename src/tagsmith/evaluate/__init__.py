"""Score a split of a run, and say what the figures mean."""
