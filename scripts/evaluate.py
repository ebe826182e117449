"""Evaluate a run on a split: figures, predictions, analysis, report page."""

from pathlib import Path

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import EvaluateRun


@script("evaluate")
def main(settings: EvaluateRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import sys

    from rich.console import Console

    from tagsmith.core.run import RunFolder
    from tagsmith.evaluate.evaluate_run import evaluate_run
    from tagsmith.evaluate.report import decision_text, guidance_text, per_class_table

    run = RunFolder(Path(settings.run))
    evaluation = evaluate_run(settings, run)
    if evaluation:
        if settings.page:
            from tagsmith.evaluate.report.page import write_page

            write_page(run)
        # Files and pipes have no width at which class names have to be wrapped.
        Console(width=None if sys.stdout.isatty() else 200).print(per_class_table(evaluation))
        print(decision_text(evaluation))
        print(f"figures: {run.evaluation}\npredictions: {run.predictions}")
        if settings.analyse:
            print(guidance_text(run.guidance))
        if settings.page:
            print(f"page: {run.page}")


if __name__ == "__main__":
    main()
