"""Rows of files in every format: from what a setting names to records with their line numbers."""
