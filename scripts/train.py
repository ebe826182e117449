"""Tagged documents to a trained and evaluated classifier."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import TrainRun


@script("train")
def main(settings: TrainRun) -> float | None:
    # Imported here, so that --help and a wrong setting are answered without waiting for torch.
    import sys

    from rich.console import Console

    from tagsmith.config.sweep import judged
    from tagsmith.evaluate.report import decision_text, per_class_table
    from tagsmith.train.train_run import train

    run, evaluation = train(settings)
    if evaluation:
        # A log or a pipe has no width in which names of classes would have to be broken.
        Console(width=None if sys.stdout.isatty() else 200).print(per_class_table(evaluation))
        print(decision_text(evaluation))
        print(f"run: {run.path}")
    return judged(run, settings.objective.value) if settings.objective else None


if __name__ == "__main__":
    main()
