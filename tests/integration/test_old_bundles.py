"""Bundles of earlier formats, written by earlier versions, still load and return the same answers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.core.errors import DataError

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_format_1(kind: str, tmp_path: Path) -> None:
    folder = FIXTURES / "format_1" / kind
    assert json.loads((folder / "manifest.json").read_text())["format"] == 1
    expected = json.loads((FIXTURES / "format_1" / "expected.json").read_text())[kind]
    classifier = Classifier.load(folder)
    assert np.abs(classifier.predict_proba(expected["texts"]) - np.array(expected["scores"])).max() < 1e-5
    found = classifier.predict(expected["texts"])
    if kind == "single":
        assert [one.label for one in found] == expected["predicted"]
    else:
        assert [sorted(one.labels) for one in found] == [sorted(labels) for labels in expected["predicted"]]
    assert {(one.to_person, one.set, one.out_of_scope) for one in found} == {(False, None, None)}
    shutil.copytree(folder, tmp_path / "touched")
    (tmp_path / "touched" / "scope.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"scope\.npy: not in the manifest"):
        Classifier.load(tmp_path / "touched")
