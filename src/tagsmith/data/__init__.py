"""From a source of tagged documents to one checked and split DatasetDict; all problems are reported together."""

from tagsmith.data.load import TaggedData, load

__all__ = ["TaggedData", "load"]
