"""Compare two runs on the same documents: figures, classes, documents that changed sides."""

from tagsmith.config import script
from tagsmith.settings import CompareRuns


@script("compare")
def main(settings: CompareRuns) -> None:
    from rich import print as show

    from tagsmith.comparison.stage import compare_runs
    from tagsmith.report.tables import comparison_table

    found, folder = compare_runs(settings)
    show(comparison_table(found))
    print(found["verdict"])
    print(f"page: {folder / 'comparison.html'}\nfigures: {folder / 'comparison.json'}")


if __name__ == "__main__":
    main()
