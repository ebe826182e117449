"""What `scripts/refresh.py` does for each action, and its exit status."""

import os
from pathlib import Path

from tagsmith.config.settings import RefreshAction, RefreshRun
from tagsmith.core.errors import SettingsError
from tagsmith.refresh.store import Json, Store


def act(settings: RefreshRun) -> int:
    """Carry out the action; returns the exit status, see `refresh_run.Status`.

    Raises:
        TagsmithError: see `refresh_run.refresh`.
    """
    # Each action imports what it needs: most must not wait for the imports of training.
    store = Store(Path(settings.store))
    if settings.action is RefreshAction.refresh:
        return _refresh(settings, store)
    if settings.action is RefreshAction.dry_run:
        return _dry_run(settings, store)
    store.require()
    if settings.action is RefreshAction.status:
        from tagsmith.refresh.status import status_text

        print(status_text(store))
    elif settings.action is RefreshAction.history:
        from tagsmith.refresh.status import history_text

        print(history_text(store))
    else:
        from tagsmith.refresh.refresh_run import recorded

        with recorded(settings, store) as record:
            record |= {"status": 0} | _change(settings, store)
        print(record["sentence"])
        return int(record["status"])
    return 0


def _refresh(settings: RefreshRun, store: Store) -> int:
    from tagsmith.refresh.refresh_run import Status, refresh

    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise SettingsError(
            f"refresh.py: expected one process, found a launch of {processes}; start it without accelerate launch or "
            "torchrun. It trains on one GPU."
        )
    status = refresh(settings, store)
    last = store.read_history()[-1]
    print(f"{last['outcome'].replace('_', ' ')}: {last['sentence']}")
    if last["version"] is not None:
        print(f"version: {store.versions_folder / last['version']}")
    print(f"production: {last['production'] or 'none yet'}")
    return 0 if settings.zero_unless_failed and status in tuple(Status) else status


def _dry_run(settings: RefreshRun, store: Store) -> int:
    """What a refresh would do, up to training; writes nothing."""
    from tagsmith.refresh.incoming.data_gate import check_data
    from tagsmith.refresh.incoming.whats_new import look, unchanged_files
    from tagsmith.refresh.promote import pending
    from tagsmith.refresh.refresh_run import Status

    for begun in filter(None, (pending(store), store.unfinished())):
        print(f"version {begun.name} was interrupted; a refresh would resume it.")
        return 0
    if unchanged_files(settings, store):
        print("Nothing is new: the files are those of the last refresh.")
        return int(Status.nothing_new)
    news = look(settings, store)
    print(news.sentence)
    if not news.enough(settings.min_new):
        print(f"That is less than min_new={settings.min_new}: a refresh would not train.")
        return int(Status.nothing_new)
    for figure in check_data(settings.accept, news):
        print(f"  {figure['sentence']}")
    print("The data gate accepts this; a refresh would train.")
    return 0


def _change(settings: RefreshRun, store: Store) -> Json:
    """Carry out an action that changes the store without training; returns its outcome and sentence."""
    from tagsmith.refresh import promote, retention

    name = settings.action.value
    if settings.action is RefreshAction.rollback:
        left = store.link.readlink().name if store.link.is_symlink() else None
        version = promote.rollback(settings, store)
        sentence = f"{version.name} is in production again{f', in place of {left}' if left is not None else ''}."
        return {"outcome": "rolled_back", "version": version.name, "sentence": sentence}
    if settings.action is RefreshAction.renew_test:
        # Imported here: datasets takes seconds, and a rollback must not wait for it.
        from tagsmith.refresh.test_documents import renew

        return {"outcome": "renewed_test", "sentence": renew(store)}
    if settings.version is None:
        raise SettingsError(f"version: expected the version to {name}, found none.")
    version = store.version(settings.version)
    if settings.action is RefreshAction.promote:
        result = promote.promote(settings, store, version)
        found = {"outcome": result.outcome, "status": result.status, "sentence": f"By hand: {result.sentence}."}
        return found | {"version": version.name}
    if settings.action is RefreshAction.pin:
        retention.pin(version)
        return {"outcome": "pinned", "version": version.name, "sentence": f"{version.name} is kept."}
    retention.unpin(version)
    return {"outcome": "unpinned", "version": version.name, "sentence": f"{version.name} may be removed."}
