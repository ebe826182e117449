"""Tagsmith's recipes beside other ways to train a classifier, on one machine, on the same documents."""

from tagsmith.bench.recipes.bench_recipes import Measurement, compare
from tagsmith.bench.recipes.table import table

__all__ = ["Measurement", "compare", "table"]
