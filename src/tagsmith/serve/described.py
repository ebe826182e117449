"""What `/deployments` says about a deployment: what it serves, and what the documents that it has seen show."""

from typing import Any

from tagsmith.config.settings.serve import ServeBounds
from tagsmith.serve.attention import attention
from tagsmith.serve.deployments import Deployment
from tagsmith.serve.shadow import Shadow

AT_TEST = ("accuracy", "macro_f1", "to_person", "out_of_scope")
"""Figures of the test, which are set beside those of the documents seen."""


def described(deployment: Deployment, shadow: Shadow | None, bounds: ServeBounds) -> dict[str, Any]:
    """Ready for JSON; the fields of a bundle are null until it serves one."""
    found: dict[str, Any] = {"name": deployment.name, "ready": False, "newer_refused": deployment.refused}
    found["shadow"] = shadow.as_dict() if shadow is not None else None
    fields = ("version", "store_version", "run", "trained", "engine", "task", "classes", "seen", "test")
    if (model := deployment.loaded) is None:
        return found | dict.fromkeys(fields) | {"attention": []}
    reference, seen = model.production.reference, model.production.report()
    tested = reference.tested if reference is not None else None
    return found | {
        "ready": True,
        "version": model.version,
        "store_version": model.store_version,
        "run": model.run,
        "trained": model.trained,
        "engine": model.classifier.engine.as_dict(),
        "task": model.classifier.schema.task.value,
        "classes": model.classifier.classes,
        "seen": seen.as_dict(),
        "test": {name: round(getattr(tested, name), 6) for name in AT_TEST} if tested is not None else None,
        "attention": attention(seen, reference, bounds),
    }
