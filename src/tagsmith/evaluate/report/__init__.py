"""Output for people: tables on the terminal, and the page of a run.

`report.page.write_page` makes the page. It is not imported here, as tables need no plotly.
"""

from tagsmith.evaluate.report.tables import (
    calibrated_text,
    confusion_csv,
    decision_text,
    guidance_text,
    per_class_table,
    per_class_text,
)

__all__ = ["calibrated_text", "confusion_csv", "decision_text", "guidance_text", "per_class_table", "per_class_text"]
