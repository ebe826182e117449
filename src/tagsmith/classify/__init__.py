"""Text in, classes and scores out: the Classifier that downstream services load. No torch."""
