"""What a person reads: tables on the terminal, and the page of a run.

The page is made by `report.page.write_page`, which is imported by itself: whoever prints a table needs no plotly.
"""

from tagsmith.report.tables import confusion_csv, per_class_table, per_class_text

__all__ = ["confusion_csv", "per_class_table", "per_class_text"]
