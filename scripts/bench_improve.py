"""Benchmark acquisition strategies and the detection of wrong tags."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchImproveRun


@script("bench_improve")
def main(settings: BenchImproveRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import json

    from rich.console import Console

    from tagsmith.bench.tagging.simulation import measure, tagging_table

    results = []
    for result in measure(settings):
        print(json.dumps(result.as_dict()), flush=True)
        results.append(result)
    Console(width=max(Console().width, 130)).print(tagging_table(results))


if __name__ == "__main__":
    main()
