"""Compare runs on the same documents: figures, classes, changed predictions."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import CompareRuns


@script("compare")
def main(settings: CompareRuns) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import sys

    from rich.console import Console

    from tagsmith.evaluate.comparison.compare_runs import FAILED, compare_runs
    from tagsmith.evaluate.comparison.table import comparison_table, comparison_text

    # Six columns do not fit the 80 columns that rich assumes for files and pipes.
    console = Console(width=max(Console().width, 110))
    failed = []
    for one in compare_runs(settings):
        console.print(comparison_table(one.found))
        print(comparison_text(one.found))
        print(f"page: {one.page}\nfigures: {one.json}")
        failed += [one.found["verdict"]["fails"]] if one.found["verdict"]["fails"] else []
    if failed:
        print("\n".join(failed), file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
