"""Simulate a person who tags on the page from nothing: accuracy by number of tags, and keys a document."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchTagRun


@script("bench_tag")
def main(settings: BenchTagRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import json

    from rich.console import Console

    from tagsmith.bench.tagging.bench_tagging import measure
    from tagsmith.bench.tagging.tag_results import bench_table

    results = []
    for result in measure(settings):
        print(json.dumps(result.as_dict()), flush=True)
        results.append(result)
    Console(width=max(Console().width, 130)).print(bench_table(results))


if __name__ == "__main__":
    main()
