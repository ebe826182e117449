"""Tagsmith: tagged documents in, a text classifier that its owner holds out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagsmith.classify import Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    # On first use, so that importing a part of the package does not load onnxruntime.
    if name == "Classifier":
        from tagsmith.classify import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
