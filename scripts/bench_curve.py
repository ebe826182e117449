"""Benchmark the learning curve: predicted against measured effect of more documents."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchCurveRun


@script("bench_curve")
def main(settings: BenchCurveRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import json

    from rich.console import Console

    from tagsmith.bench.tagging.learning_curves import backtest, curve_table

    results = []
    for result in backtest(settings):
        print(json.dumps(result.as_dict()), flush=True)
        results.append(result)
    Console(width=max(Console().width, 130)).print(curve_table(results))


if __name__ == "__main__":
    main()
