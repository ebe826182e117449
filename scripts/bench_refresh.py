"""Measure unattended renewal: a simulated year, kills at random instants, how often the gate errs."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchRefreshRun, Renewal


@script("bench_refresh")
def main(settings: BenchRefreshRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    if settings.measure is Renewal.year:
        from tagsmith.bench.renewal.simulated_year import simulate_year, summary

        print(summary(simulate_year(settings)))
    elif settings.measure is Renewal.kills:
        from tagsmith.bench.renewal.chain_kills import kill_refreshes

        killed = kill_refreshes(settings)
        print(f"{len(killed)} kills; production verified after each, and every end equals that of an undisturbed one")
    else:
        from tagsmith.bench.renewal.gate_odds import gate_odds, odds_table

        print(odds_table(gate_odds(settings)))


if __name__ == "__main__":
    main()
