"""`python -m tagsmith.bundle verify FOLDER`: what loading checks and all golden answers, line by line."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tagsmith import bundle as layout
from tagsmith import golden
from tagsmith.classify import Classifier
from tagsmith.errors import SettingsError, TagsmithError, counted

USAGE = "usage: python -m tagsmith.bundle verify FOLDER"


def verify(folder: Path) -> list[str]:
    """What was found right about a bundle, a line each.

    Raises:
        InputMissing: there is no bundle.
        DataError: something about it is wrong.
    """
    manifest = layout.check(folder)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    told = [
        f"format {manifest['format']}, {counted(len(manifest['files']), 'file')}, {size / 2**20:,.1f} MiB: "
        "each with the SHA-256 of the manifest"
    ]
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


def main(words: Sequence[str]) -> int:
    """Run a command line; returns the exit status: those of the scripts."""
    try:
        if len(words) != 2 or words[0] != "verify":
            raise SettingsError(f"{USAGE}; found {' '.join(words) or 'nothing'}")
        print("\n".join(verify(Path(words[1]))))
        print(f"verified: {words[1]}")
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0
