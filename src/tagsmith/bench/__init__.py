"""Tagsmith's recipes beside other ways to train a classifier, on one machine, on the same documents."""

from tagsmith.bench.compare import Measurement, compare
from tagsmith.bench.table import table

__all__ = ["Measurement", "compare", "table"]
