"""Leaving Azure custom text classification: take everything out, train a successor, show that it is as good."""
