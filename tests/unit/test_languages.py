"""The note on the language of the documents."""

import datasets
import pytest

from tagsmith.config.settings import DataSettings, ModelSettings, TrainRun
from tagsmith.core.schema import Schema, Task
from tagsmith.data.load import TaggedData
from tagsmith.model.languages import with_language_note

GERMAN = "Ich habe gestern meine Karte verloren, was soll ich jetzt tun?"
ENGLISH = "I lost my card yesterday while travelling, what should I do now?"


def notes(texts: list[str], languages: list[str] | None, given: list[str | None] | None = None) -> list[str]:
    columns = {"text": texts} | ({"language": given} if given else {})
    splits = datasets.DatasetDict(train=datasets.Dataset.from_dict(columns))
    tagged = TaggedData(splits, Schema(("a", "b"), Task.single_label), [], [])
    settings = TrainRun(data=DataSettings(), model=ModelSettings(name="x", languages=languages))
    return with_language_note(tagged, settings).notes


@pytest.mark.parametrize(
    ("texts", "languages", "given"),
    [
        ([ENGLISH] * 10, ["en"], None),
        ([GERMAN] * 2 + [ENGLISH] * 8, ["en"], None),
        ([GERMAN] * 10, None, None),
        ([GERMAN] * 10, ["en", "de"], None),
        (["card lost"] * 10, ["en"], None),
        ([GERMAN] * 10, ["en"], ["en-GB"] * 10),
    ],
)
def test_nothing_is_said_of_documents_that_the_encoder_can_read(
    texts: list[str], languages: list[str] | None, given: list[str | None] | None
) -> None:
    assert notes(texts, languages, given) == []


@pytest.mark.parametrize("given", [None, ["de"] * 3 + [None] * 7])
def test_another_language_is_named_with_an_encoder_for_it(given: list[str | None] | None) -> None:
    found = notes([GERMAN] * 3 + [ENGLISH] * 7, ["en"], given)
    assert len(found) == 1
    assert found[0].startswith("language: of 10 documents, de 30%; this encoder was trained on en: model=multilingual")
