"""Retrain from new data, judge, and promote only what is not worse: the command of a timer, and its store."""
