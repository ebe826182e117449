"""The Classifier beside other ways to classify with the same encoder, each in an interpreter of its own.

Nothing is imported here: what a contender imports is part of what is measured.
"""
