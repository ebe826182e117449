"""What to do next for a better classifier: which tags look wrong, and which documents a person should tag."""

from tagsmith.improve.queues import tables
from tagsmith.improve.stage import improve_run

__all__ = ["improve_run", "tables"]
