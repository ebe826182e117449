"""From a run to a bundle, with the proof that both say the same."""
