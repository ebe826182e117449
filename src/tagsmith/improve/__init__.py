"""What to do next for a better classifier: which tags look wrong, and which documents to tag."""
