"""Benchmark of Tagsmith's recipes and other ways to train a classifier, on one machine, on the same documents."""

from tagsmith.bench.recipes.bench_recipes import Measurement, compare
from tagsmith.bench.recipes.measurements_table import table

__all__ = ["Measurement", "compare", "table"]
