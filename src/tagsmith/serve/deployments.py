"""Named deployments of verified bundles, which are replaced while requests are in flight, and only by valid ones."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import DataError, TagsmithError, listing
from tagsmith.serve.loaded import Model, Observe, fingerprint_of
from tagsmith.serve.problems import RequestError
from tagsmith.serve.shadow import QUIET_SECONDS, Shadow
from tagsmith.serve.store import Place, place_of

log = logging.getLogger("tagsmith.serve")


class Deployment:
    """A name, the folder of its bundle or store, and the model in use.

    Attributes:
        loaded: the model in use; None: the store has no promoted version yet.
        fingerprint: of the folder when the model was loaded.
        refused: whether the bundle now in the folder cannot be used, so that an older one, or none, is in use.
        queue_full: number of requests refused because the queue was full.
    """

    def __init__(self, name: str, folder: Path, loaded: Model | None, fingerprint: tuple[object, ...]):
        self.name, self.folder, self.loaded, self.fingerprint = name, folder, loaded, fingerprint
        self.refused = False
        self.queue_full = 0
        self.lock = asyncio.Lock()

    @property
    def model(self) -> Model:
        """The model in use; see `require`."""
        return self.require()

    def require(self) -> Model:
        """The model in use. Raises: RequestError (503), if there is none yet."""
        if self.loaded is None:
            why = "its first bundle was refused, see the log" if self.refused else "its store has no version yet"
            raise RequestError(503, f"{self.name} serves no bundle: {why}.", headers={"Retry-After": "10"})
        return self.loaded


class Deployments:
    """All deployments of a service; while it runs, used only from its event loop."""

    def __init__(
        self,
        settings: ServeSettings,
        observe: Observe,
        reloaded: Callable[[str, bool], None],
        authored: Mapping[str, Path] | None = None,
    ):
        """Load all deployments.

        Args:
            authored: bundles of the deployments of the authoring API, by PROJECT/NAME; one that cannot be used is left
                without a bundle.

        Raises:
            DataError: bundles cannot be used; all are listed.
            InputMissing: the only problem is one missing bundle.
        """
        self._settings, self._observe, self._reloaded = settings, observe, reloaded
        self._retiring: set[asyncio.Task[None]] = set()
        self.by_name: dict[str, Deployment] = {}
        problems: dict[str, TagsmithError] = {}
        named = {name: Path(folder) for name, folder in settings.deployments.items()}
        for name, path in {**named, **(authored or {})}.items():
            fingerprint = fingerprint_of(path)
            try:
                place = place_of(path)
                model = Model(name, place, settings, observe) if place is not None else None
                self.by_name[name] = Deployment(name, path, model, fingerprint)
                if model is None:
                    log.warning("%s: the store %s has no version yet; requests are answered with 503", name, path)
            except TagsmithError as error:
                if name in named:
                    problems[name] = error
                    continue
                self.by_name[name] = Deployment(name, path, None, fingerprint)
                self.by_name[name].refused = True
                log.error("%s: its bundle cannot be used: %s", name, error)
        self.shadows: dict[str, Shadow] = {}
        for name, folder in settings.shadows.items() if not problems else ():
            try:
                self.shadows[name] = Shadow(name, Path(folder), settings, self._quiet)
            except TagsmithError as error:
                problems[f"shadow of {name}"] = error
        if problems:
            for shadow in self.shadows.values():
                shadow.close()
            for model in self.models:
                model.batcher.close()
            if len(problems) == 1:
                raise next(iter(problems.values()))
            lines = [f"{name}: {error}" for name, error in problems.items()]
            raise DataError(listing("These deployments cannot be served:", lines))

    @property
    def default(self) -> Deployment:
        """`production` if there is one, otherwise the first deployment. Raises: RequestError (503), there is none."""
        if not self.by_name:
            raise RequestError(503, "There is no deployment yet.", headers={"Retry-After": "10"})
        return self.by_name.get("production") or next(iter(self.by_name.values()))

    def of_project(self, project: str) -> dict[str, Deployment]:
        """The deployments of a project: of the authoring API, and, of the service's own project, of the settings."""
        found = {}
        for name, deployment in self.by_name.items():
            of, _, inside = name.rpartition("/")
            if (of or self._settings.project) == project:
                found[inside] = deployment
        return found

    async def put(self, name: str, bundle: Path) -> None:
        """Serve a bundle under a new or an existing name of the authoring API.

        Raises:
            TagsmithError: the bundle cannot be used; nothing has changed.
        """
        fingerprint = fingerprint_of(bundle)
        model = await asyncio.to_thread(Model, name, Place(bundle.resolve()), self._settings, self._observe)
        deployment = self.by_name.setdefault(name, Deployment(name, bundle, None, fingerprint))
        async with deployment.lock:
            old, deployment.loaded = deployment.loaded, model
            deployment.folder, deployment.fingerprint, deployment.refused = bundle, fingerprint, False
        self._retire(old)
        log.info("%s: version %s is now in use", name, model.version)

    def remove(self, name: str) -> None:
        """Serve a deployment of the authoring API no longer; its requests in progress are answered."""
        if (deployment := self.by_name.pop(name, None)) is not None:
            self._retire(deployment.loaded)

    def _retire(self, model: Model | None) -> None:
        if model is not None:
            task = asyncio.create_task(model.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    @property
    def models(self) -> list[Model]:
        """The models in use."""
        return [deployment.loaded for deployment in self.by_name.values() if deployment.loaded is not None]

    def _quiet(self) -> bool:
        """Whether nobody waits for an answer."""
        return all(model.batcher.quiet(QUIET_SECONDS) for model in self.models)

    def require_all(self) -> None:
        """Raises: RequestError (503), if a deployment serves no bundle yet."""
        for deployment in self.by_name.values():
            deployment.require()

    async def reload(self, name: str) -> bool:
        """Load the bundle that is now in the folder, and use it from now on if it is valid; returns whether it is.

        Requests in progress are answered by the previous one.
        """
        if (deployment := self.by_name.get(name)) is None:
            return False  # It was removed meanwhile.
        async with deployment.lock:
            deployment.fingerprint = fingerprint_of(deployment.folder)
            old = deployment.loaded
            if (place := place_of(deployment.folder)) is None and old is None:
                log.info("%s: the store has no version yet", name)
                return False
            try:
                if place is None:
                    raise DataError(f"{deployment.folder}: the store names no version in production any more.")
                model = await asyncio.to_thread(Model, name, place, self._settings, self._observe)
            except Exception as error:
                deployment.refused = True
                self._reloaded(name, False)
                # Whether the bundle is broken or there is a bug, the previous bundle stays in use.
                reason = str(error) if isinstance(error, TagsmithError) else type(error).__name__
                stays = f"version {old.version} stays in use" if old is not None else "none is in use"
                log.error("%s: new bundle refused, %s: %s", name, stays, reason)
                return False
            deployment.loaded, deployment.refused = model, False
            self._retire(old)
        self._reloaded(name, True)
        if old is None:
            log.info("%s: version %s is now in use, the first one", name, model.version)
            return True
        if model.version == old.version:
            log.info("%s: reloaded version %s, which is unchanged", name, model.version)
        else:
            log.info("%s: version %s is now in use, replacing %s", name, model.version, old.version)
        if model.classifier.schema != old.classifier.schema:
            log.warning("%s: its schema differs from that of the previous version", name)
        return True

    async def reload_all(self) -> None:
        """Reload every deployment, as SIGHUP requests."""
        for name in list(self.by_name):
            await self.reload(name)
        for shadow in self.shadows.values():
            await asyncio.to_thread(shadow.reload)

    async def watch(self, seconds: float) -> None:
        """Reload deployments whose link or manifest has changed; runs until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            for name, deployment in list(self.by_name.items()):
                if fingerprint_of(deployment.folder) != deployment.fingerprint:
                    await self.reload(name)
            for shadow in self.shadows.values():
                if fingerprint_of(shadow.folder) != shadow.fingerprint:
                    await asyncio.to_thread(shadow.reload)

    async def close(self) -> None:
        """Answer the requests in progress and end all threads."""
        await asyncio.gather(*(asyncio.to_thread(shadow.close) for shadow in self.shadows.values()))
        await asyncio.gather(*self._retiring, *(model.retire() for model in self.models))
