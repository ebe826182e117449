"""From a source of tagged documents to one DatasetDict, with everything wrong in it said at once."""

from tagsmith.data.load import TaggedData, load

__all__ = ["TaggedData", "load"]
