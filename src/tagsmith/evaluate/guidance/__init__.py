"""What to do next: lines of plain words, each with its reason, figure, remedy and examples.

`guidance.guidance` is a pure function of what an evaluation and its analysis have found.
"""
