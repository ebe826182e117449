"""Scores of teachers, and what a teacher must be."""

from math import exp
from pathlib import Path

import numpy as np
import pytest

from tagsmith.core.errors import InputMissing, SettingsError
from tagsmith.core.schema import Schema, Task
from tagsmith.train import teacher
from tagsmith.train.teacher import TeacherScores, identities

ONE = np.asarray([[2.0, 0.0], [0.0, 0.0], [0.0, 4.0]], dtype=np.float32)


def test_several_teachers_have_the_mean_of_their_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "CHUNK", 2)
    chunks = [[ONE[:2], ONE[2:]], [np.zeros((2, 2), np.float32), np.zeros((1, 2), np.float32)]]
    scores = TeacherScores(chunks, multi_label=False, temperature=2.0)
    first = exp(1) / (exp(1) + 1)
    last = exp(2) / (exp(2) + 1)
    expected = [[0.75 - last / 2, 0.25 + last / 2], [0.25 + first / 2, 0.75 - first / 2], [0.5, 0.5]]
    assert scores.probabilities(np.asarray([2, 0, 1])) == pytest.approx(np.asarray(expected), abs=1e-6)
    tags = TeacherScores(chunks, multi_label=True, temperature=2.0)
    assert tags.probabilities(np.asarray([0]))[0].tolist() == pytest.approx([0.25 + first / 2, 0.5])


def test_a_teacher_has_the_same_classes_and_task(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    schema = Schema(("a", "b"), Task.single_label)
    schema.save(tmp_path / "schema.json")
    assert identities([str(tmp_path)], Schema(("b", "a"), Task.single_label)) == [
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    ]
    expected = r"(?s)expected the 2 classes of the documents; .*only in the teacher: b.*not in the teacher: c"
    with pytest.raises(SettingsError, match=expected):
        identities([str(tmp_path)], Schema(("a", "c"), Task.single_label))
    with pytest.raises(SettingsError, match="expected multi_label, found single_label"):
        identities([str(tmp_path)], Schema(("a", "b"), Task.multi_label))
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputMissing, match="expected the folder of a run or of a bundle, found neither"):
        identities([str(tmp_path)], schema)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(InputMissing, match="no trained weights; expected a run whose training is finished"):
        identities([str(tmp_path)], schema)
