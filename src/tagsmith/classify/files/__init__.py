"""A file in, a file out: millions of documents, in several processes, through kills."""
