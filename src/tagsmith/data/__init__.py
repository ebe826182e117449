"""From a source of tagged documents to one checked and split DatasetDict; all problems are reported together."""

from tagsmith.data.load import TaggedData, load, require_unchanged

__all__ = ["TaggedData", "load", "require_unchanged"]
