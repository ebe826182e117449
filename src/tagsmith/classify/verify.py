"""All checks of a bundle: what loading checks and every golden answer, line by line."""

from pathlib import Path

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.signature import verify_signature
from tagsmith.classify.classifier import Classifier
from tagsmith.core.errors import counted


def verify(folder: Path, public_key: Path | None = None) -> list[str]:
    """What was found right about a bundle, a line each.

    Args:
        public_key: whose signature it must bear; None: nobody's.

    Raises:
        InputMissing: there is no bundle, or no key.
        SettingsError: the key cannot be used.
        DataError: something about it is wrong.
    """
    manifest = layout.check(folder)
    if public_key is not None:
        verify_signature(folder, public_key)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    told = [
        f"format {manifest['format']}, {counted(len(manifest['files']), 'file')}, {size / 2**20:,.1f} MiB: "
        "each with the SHA-256 of the manifest"
    ]
    if public_key is not None:
        told.append(f"{layout.SIGNATURE}: signed with the key that belongs to {public_key}")
    for quantized, graph in ((False, layout.GRAPH), (True, layout.QUANTIZED)):
        if graph not in manifest["files"]:
            continue
        classifier = Classifier.open_unchecked(folder, quantized=quantized)
        told.append(f"{graph}: fits the schema of {counted(len(classifier.classes), 'class')}")
        path = folder / layout.GOLDEN
        if path.is_file():
            rule = classifier.decision.rule
            count = golden.check(path, classifier.schema, rule, classifier.decide, quantized)
            told[-1] += f"; {golden.describe(count, quantized)}"
    for name, found in manifest.get("parity", {}).items():
        told.append(
            f"parity of {name} over {counted(found['documents'], found['split'] + ' document')}, when it was exported: "
            f"largest score difference {found['largest_score_difference']:.1e}, "
            f"labels that differ {found['labels_differ']:,}"
        )
    return told
