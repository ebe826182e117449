"""Measurements beside other ways. Nothing imports this room."""
