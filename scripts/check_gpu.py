"""Check on one GPU what the READMEs claim of GPUs, and measure its speed."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import CheckGpu


@script("check_gpu")
def main(settings: CheckGpu) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    import sys

    from rich.console import Console

    from tagsmith.bench.gpu import check_gpu, table

    results = check_gpu(settings)
    Console(width=max(Console().width, 130)).print(table(results))
    print(f"results: {settings.output}")
    if any(result.outcome == "failed" for result in results):
        sys.exit(3)


if __name__ == "__main__":
    main()
