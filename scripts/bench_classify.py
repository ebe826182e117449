"""Benchmark the Classifier against other runtimes of the same encoder."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchClassifyRun


@script("bench_classify")
def main(settings: BenchClassifyRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import json

    from rich.console import Console

    from tagsmith.bench.classifiers.bench_classifiers import compare, table

    measurements = []
    for measurement in compare(settings):
        print(json.dumps(measurement.as_dict()), flush=True)
        measurements.append(measurement)
    Console(width=max(Console().width, 110)).print(table(measurements))


if __name__ == "__main__":
    main()
