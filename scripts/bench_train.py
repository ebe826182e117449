"""Benchmark Tagsmith's recipes against other ways to train a classifier."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchTrainRun


@script("bench_train")
def main(settings: BenchTrainRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import json

    from rich.console import Console

    from tagsmith.bench.recipes import compare, table

    measurements = []
    for measurement in compare(settings):
        print(json.dumps(measurement.as_dict()), flush=True)
        measurements.append(measurement)
    # Eleven columns do not fit the 80 columns that rich assumes for files and pipes.
    Console(width=max(Console().width, 130)).print(table(measurements))


if __name__ == "__main__":
    main()
