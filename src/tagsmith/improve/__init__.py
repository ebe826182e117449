"""What to do next for a better classifier: which tags look wrong, and which documents to tag."""

from tagsmith.improve.improve_run import improve_run
from tagsmith.improve.queue_tables import tables

__all__ = ["improve_run", "tables"]
