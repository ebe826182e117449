"""From logits to decisions: what a bundle does (`rule`, `scope`) and the arithmetic that chooses it."""
