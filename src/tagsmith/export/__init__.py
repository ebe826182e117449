"""Exports a run as a bundle, and verifies that both return the same scores."""
