"""All checks of a bundle: those at loading, and every golden answer."""

from pathlib import Path

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.signature import verify_signature
from tagsmith.classify.classifier import Classifier
from tagsmith.core.errors import counted


def verify(folder: Path, public_key: Path | None = None) -> list[str]:
    """Check a bundle; returns one line for each check that passed.

    Args:
        public_key: the key with which the bundle must be signed; None: do not check the signature.

    Raises:
        InputMissing: there is no bundle, or no key.
        SettingsError: the key cannot be used.
        DataError: a check failed.
    """
    manifest = layout.check(folder)
    if public_key is not None:
        verify_signature(folder, public_key)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    passed = [
        f"format {manifest['format']}, {counted(len(manifest['files']), 'file')}, {size / 2**20:,.1f} MiB: "
        "SHA-256 sums match the manifest"
    ]
    if public_key is not None:
        passed.append(f"{layout.SIGNATURE}: signed with the private key of {public_key}")
    for quantized, graph in ((False, layout.GRAPH), (True, layout.QUANTIZED)):
        if graph not in manifest["files"]:
            continue
        classifier = Classifier.open_unchecked(folder, quantized=quantized)
        passed.append(f"{graph}: matches the schema of {counted(len(classifier.classes), 'class')}")
        path = folder / layout.GOLDEN
        if path.is_file():
            rule = classifier.decision.rule
            count = golden.check(path, classifier.schema, rule, classifier.decide, quantized)
            passed[-1] += f"; {golden.describe(count, quantized)}"
    for name, found in manifest.get("parity", {}).items():
        passed.append(
            f"parity of {name} over {counted(found['documents'], found['split'] + ' document')} at export: "
            f"largest score difference {found['largest_score_difference']:.1e}, "
            f"differing labels {found['labels_differ']:,}"
        )
    return passed
