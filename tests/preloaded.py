"""Imported last by the server of `forked`: what all processes that it forks have, once for all of them.

The detector of languages takes a second to load. What the server has imported is taken out of garbage collection:
otherwise each process goes through it, and copies the pages of memory on which it lies (0.4 s of a script's CPU).
"""

import gc

from tagsmith.model.languages import detected

detected("The detector is loaded.")
gc.collect()
gc.freeze()
