"""Train a classifier on tagged documents and evaluate it."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import TrainRun


@script("train")
def main(settings: TrainRun) -> float | None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import sys

    from rich.console import Console

    from tagsmith.config.sweep import judged
    from tagsmith.evaluate.report import decision_text, per_class_table
    from tagsmith.train.train_run import train

    run, evaluation = train(settings)
    if evaluation:
        # Files and pipes have no width at which class names have to be wrapped.
        Console(width=None if sys.stdout.isatty() else 200).print(per_class_table(evaluation))
        print(decision_text(evaluation))
        print(f"run: {run.path}")
    return judged(run, settings.objective.value) if settings.objective else None


if __name__ == "__main__":
    main()
