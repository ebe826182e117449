"""Ray Data, and columns for other engines."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.columns import decided_columns
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tests.conftest import make_documents

BUNDLES = Path(__file__).parents[1] / "fixtures" / "format_1"


@pytest.mark.parametrize("name", ["single", "multi"])
def test_columns_match_predict(name: str) -> None:
    classifier = Classifier.load(BUNDLES / name, threads=1)
    texts: list[Any] = [str(record["text"]) for record in make_documents(20, multi_label=True)]
    expected = classifier.predict(texts)
    columns = decided_columns(classifier, [*texts[:10], None, " ", 5, *texts[10:]])
    assert [error for error in columns["error"] if error] == [
        "expected text as text, found NoneType",
        "text is empty",
        "expected text as text, found int",
    ]
    labels = columns["label"] if name == "single" else columns["labels"]
    assert labels[10:13] == columns["score"][10:13] == [None] * 3
    found = [*labels[:10], *labels[13:]]
    assert found == [one.label if name == "single" else list(one.labels) for one in expected]
    scores = [*columns["score"][:10], *columns["score"][13:]]
    np.testing.assert_allclose(scores, [one.score for one in expected], atol=1e-6)
    assert decided_columns(classifier, [])["error"] == []
    assert decided_columns(classifier, []).keys() == columns.keys()


def test_missing_ray_is_reported(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("ray is installed")
    from tagsmith.classify.ray import classify_parquet

    with pytest.raises(SettingsError, match="needs Ray"):
        classify_parquet(str(BUNDLES / "single"), "in", str(tmp_path / "out"))


def test_a_local_cluster_matches_predict(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from tagsmith.classify.ray import classify_parquet

    texts: list[Any] = [str(record["text"]) for record in make_documents(500, multi_label=False)]
    texts[7] = None
    (tmp_path / "in").mkdir()
    for i in range(4):
        part = slice(125 * i, 125 * (i + 1))
        table = pa.table({"number": list(range(500))[part], "text": pa.array(texts[part], pa.string())})
        parquet.write_table(table, tmp_path / "in" / f"{i}.parquet")
    bundle, source, target = str(BUNDLES / "single"), str(tmp_path / "in"), str(tmp_path / "out")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        classify_parquet(bundle, source, target, actors=(1, 2), batch_documents=64)
        with pytest.raises(SettingsError, match="exists"):
            classify_parquet(bundle, source, target)
        with pytest.raises(DataError, match="expected the column body, found number, text"):
            classify_parquet(bundle, source, target + "2", text_field="body")
        with pytest.raises(InputMissing, match="nowhere"):
            classify_parquet(bundle, "nowhere", target + "2")
    finally:
        ray.shutdown()
    found = parquet.read_table(target).sort_by("number").to_pylist()
    assert [row["number"] for row in found] == list(range(500))
    good = [text for text in texts if text is not None]
    labels = [prediction.label for prediction in Classifier.load(bundle, threads=1).predict(good)]
    assert [row["predicted_label"] for row in found if row["predicted_error"] is None] == labels
    assert found[7]["predicted_error"] == "expected text as text, found NoneType"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
