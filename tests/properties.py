"""How hypothesis runs here: the same bounded examples every time, with no limit on the time of one."""

from hypothesis import settings

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
