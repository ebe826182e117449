"""What a person reads: tables on the terminal, and the page of a run.

The page is made by `report.page.write_page`, which is imported by itself: whoever prints a table needs no plotly.
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
