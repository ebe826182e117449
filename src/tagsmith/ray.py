"""The published name of `tagsmith.classify.ray`."""

from tagsmith.classify.ray import ClassifyBatch, classify_parquet

__all__ = ["ClassifyBatch", "classify_parquet"]
