"""Tagsmith: tagged documents in, your own text classifier out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagsmith.classify.classifier import Classifier
    from tagsmith.classify.prediction import Prediction

    __version__: str

__all__ = ["Classifier", "Prediction", "__version__"]


def __getattr__(name: str) -> Any:
    # On first use, so that importing a part of the package loads neither onnxruntime nor the metadata of all packages.
    if name == "__version__":
        from importlib.metadata import version

        return version("tagsmith")
    if name in __all__:
        from tagsmith.classify import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
