"""Two runs on the same documents: what got better, what got worse, and whether it could be chance."""
