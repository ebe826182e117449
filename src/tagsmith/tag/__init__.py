"""The tagging page: what people decide about documents, in which order they see them, and the tags that result."""
