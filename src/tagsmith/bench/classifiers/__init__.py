"""Benchmark of the Classifier and other ways to classify with the same encoder, each in its own interpreter.

Nothing is imported here, because the imports of a contender are part of the measurement.
"""
