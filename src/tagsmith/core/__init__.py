"""Errors, files that are never half written, rows, the schema, the run folder, signals, the terminal."""
