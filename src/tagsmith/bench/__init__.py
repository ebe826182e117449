"""Benchmarks of training, classification and the choice of documents. Nothing imports this room."""
