"""What to do next: findings in plain words, each with its reason, figure, remedy and examples.

`guidance.guidance` is a pure function of the results of an evaluation and its analysis.
"""
