"""Kill training again and again, resume it, and compare with a run that was never killed."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import CheckKills


@script("check_kills")
def main(settings: CheckKills) -> None:
    # Imported here, so that --help and a wrong setting are answered without waiting for torch.
    from tagsmith.bench.kills import check_kills

    kills = check_kills(settings)
    print(f"{len(kills)} kills, the same weights, figures and predictions as without them")


if __name__ == "__main__":
    main()
