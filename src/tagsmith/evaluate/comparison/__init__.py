"""Two runs on the same documents: what became better, what worse, and whether it could be chance."""
