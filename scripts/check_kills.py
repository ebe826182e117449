"""Kill and resume training repeatedly, and compare the result with an uninterrupted run."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import CheckKills


@script("check_kills")
def main(settings: CheckKills) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    from tagsmith.bench.kills import check_kills

    kills = check_kills(settings)
    print(f"{len(kills)} kills; weights, figures and predictions are those of an uninterrupted run")


if __name__ == "__main__":
    main()
