import random
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tagsmith.core.errors import DataError
from tagsmith.core.files import read_json_lines
from tagsmith.data import TaggedData
from tagsmith.data.check import folded_text
from tagsmith.evaluate.analysis.near_duplicates import similarity
from tagsmith.refresh.store import Store, Version
from tagsmith.refresh.test_documents import held_out, load_for, record_slice, renew, slices
from tests.made_looks import made_version, refresh_settings, store_in
from tests.made_records import Record

LETTERS = string.ascii_lowercase + " "


def rows(labels: str, begin: int = 0, **fields: Any) -> list[Record]:
    """A row for each letter, its class, whose text no other one resembles."""
    found = []
    for i, name in enumerate(labels, begin):
        draw = random.Random(i)
        found.append({"id": str(i), "text": "".join(draw.choices(LETTERS, k=80)), "label": name, **fields})
    return found


def version_of(folder: Path, records: list[Record], **data: Any) -> tuple[Version, TaggedData]:
    return made_version(refresh_settings(folder, records, **data), Store(folder / "store"))


def ids(tagged: TaggedData, split: str) -> set[str]:
    return set(tagged.splits[split]["id"]) if split in tagged.splits else set()


def tags(tagged: TaggedData, split: str) -> dict[str, str]:
    part = tagged.splits[split]
    return {name: tagged.schema.classes[i] for name, i in zip(part["id"], part["labels"], strict=True)}


def test_the_first_test_split_is_frozen_and_each_refresh_adds_a_slice(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    _, tagged = version_of(tmp_path, records)
    frozen = ids(tagged, "test")
    assert len(frozen) == 20
    assert slices(store) == {"frozen": frozen}
    seen = set(frozen)
    for day in range(3):
        records += rows("ab" * 10 + "c" * 2 * day, 100 * (day + 1))
        random.Random(day).shuffle(records)
        version, tagged = version_of(tmp_path, records)
        assert frozen <= seen <= ids(tagged, "test")
        found = slices(store, version)
        (name,) = [name for name in found if name.startswith(version.name)]
        assert found[name] == ids(tagged, "test") - seen
        assert 3 <= len(found[name]) <= 6
        assert not seen & ids(tagged, "train")
        seen = ids(tagged, "test")
    # The new class has a test document since it has two documents.
    assert [name for name in tags(tagged, "test").values() if name == "c"]
    assert list(slices(store)) == ["frozen", *sorted(name for name in slices(store) if name != "frozen")]
    assert record_slice(store, version) == 0


def test_test_documents_stay_so_in_a_version_that_was_dropped(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    version_of(tmp_path, records)
    records += rows("ab" * 20, 100)
    dropped, tagged = version_of(tmp_path, records)
    tested = ids(tagged, "test")
    for path in sorted(dropped.path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    dropped.path.rmdir()
    records += rows("ab" * 20, 200)
    version, tagged = version_of(tmp_path, records)
    assert version.name == dropped.name
    assert tested <= ids(tagged, "test")
    assert set().union(*slices(store).values()) == ids(tagged, "test")
    assert len(slices(store)) == 2


def test_a_test_document_takes_its_new_tag_and_leaves_with_the_source(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    version_of(tmp_path, records)
    one, other, third = sorted(slices(store)["frozen"])[:3]
    records = [record for record in records if record["id"] != one]
    by_id = {record["id"]: record for record in records}
    by_id[other]["label"] = "b" if by_id[other]["label"] == "a" else "a"
    by_id[third]["text"] += " edited"
    _, tagged = version_of(tmp_path, records)
    assert ids(tagged, "test") == slices(store)["frozen"] - {one}
    assert tags(tagged, "test")[other] == by_id[other]["label"]
    assert "store: found 19 of 20 test documents of that store in this data." in tagged.notes
    # It comes back as the test document that it was.
    _, tagged = version_of(tmp_path, [*records, *(row for row in rows("ab" * 50) if row["id"] == one)])
    assert one in ids(tagged, "test")


def test_documents_without_ids_are_known_by_their_texts(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    records = [{name: row[name] for name in ("text", "label")} for row in rows("ab" * 50)]
    _, tagged = version_of(tmp_path, records)
    texts = set(tagged.splits["test"]["text"])
    random.Random(0).shuffle(records)
    version, tagged = version_of(tmp_path, [*rows("ab" * 10, 100), *records])
    assert texts <= set(tagged.splits["test"]["text"])
    assert slices(store)["frozen"] <= ids(tagged, "test")
    # Ids are added: the slices name them.
    with_ids = rows("ab" * 50)
    version, tagged = version_of(tmp_path, [*rows("ab" * 10, 100), *with_ids])
    frozen = slices(store, version)["frozen"] & ids(tagged, "test")
    assert {row["text"] for row in with_ids if row["id"] in frozen} == texts


def test_copies_and_near_copies_of_test_documents_are_not_trained_on(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    version_of(tmp_path, records)
    tested = [row for row in records if row["id"] in slices(store)["frozen"]]
    copies = [
        {"id": f"x{i}", "text": text, "label": row["label"]}
        for i, row in enumerate(tested)
        for text in [(row["text"], row["text"].upper(), f"{row['text']}!", f"  {row['text']} \n")[i % 4]]
    ]
    _, tagged = version_of(tmp_path, [*records, *copies])
    assert not {row["id"] for row in copies} & (ids(tagged, "train") | ids(tagged, "test"))
    assert "Left out 20 documents with nearly the same text as a test document." in tagged.notes


def test_near_copies_of_manual_tags_are_not_trained_on(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    version_of(tmp_path, records)
    row = next(row for row in records if row["id"] in slices(store)["frozen"])
    queue = tmp_path / "queue.jsonl"
    queue.write_text(f'{{"text": "{row["text"]}!", "tag": "a"}}\n{{"text": "something else", "tag": "a"}}\n')
    _, tagged = version_of(tmp_path, records, tagged=[str(queue)])
    assert [text for text in tagged.splits["train"]["text"] if text.endswith(("!", "else"))] == ["something else"]


@pytest.mark.parametrize("seed", range(3))
def test_near_copies_of_one_another_are_drawn_together(tmp_path: Path, seed: int) -> None:
    store_in(tmp_path)
    records = [
        {**row, "id": f"{row['id']}-{k}", "text": f"{row['text']}{'!' * k}"}
        for row in rows("ab" * 40)
        for k in range(3)
    ]
    _, tagged = made_version(refresh_settings(tmp_path, records, seed), Store(tmp_path / "store"))
    parts = [{name.partition("-")[0] for name in ids(tagged, split)} for split in ("train", "test")]
    assert not parts[0] & parts[1]
    assert len(ids(tagged, "train")) + len(ids(tagged, "test")) == 240
    assert 40 <= len(ids(tagged, "test")) <= 56


def test_what_any_kept_version_was_trained_on_never_tests(tmp_path: Path) -> None:
    store, records, more = store_in(tmp_path), rows("ab" * 50), rows("ab" * 20, 100)
    _, tagged = version_of(tmp_path, [*records, *more])
    trained = ids(tagged, "train") & {row["id"] for row in more}
    version_of(tmp_path, records)
    _, tagged = version_of(tmp_path, [*records, *more, *rows("ab" * 20, 200)])
    assert trained <= ids(tagged, "train")
    assert held_out(store).ids >= {row["id"] for row in (*records, *more)}


def test_the_test_file_of_the_source_is_frozen_and_slices_are_drawn_beside_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    records = [*rows("ab" * 40), *rows("ab" * 5, 90, split="test")]
    version_of(tmp_path, records, split_field="split")
    assert slices(store)["frozen"] == {str(i) for i in range(90, 100)}
    _, tagged = version_of(tmp_path, [*records, *rows("ab" * 20, 100)], split_field="split")
    assert len(ids(tagged, "test")) == 10 + 8
    # A document that was trained on does not become a test document because the source says so now.
    records[0]["split"] = "test"
    _, tagged = version_of(tmp_path, [*records, *rows("ab" * 20, 100)], split_field="split")
    assert "0" in ids(tagged, "train")
    assert "store: trained on 1 document that the data names as test: earlier versions were, or renew_test has " \
        "replaced them." in tagged.notes  # fmt: skip


def test_the_validation_split_stays_and_grows(tmp_path: Path) -> None:
    store_in(tmp_path)
    _, first = version_of(tmp_path, rows("ab" * 50), validation_share=0.2)
    _, second = version_of(tmp_path, rows("ab" * 100), validation_share=0.2)
    assert ids(first, "validation") < ids(second, "validation")
    assert len(ids(second, "validation")) >= 25
    assert not ids(second, "validation") & (ids(second, "train") | ids(second, "test"))


def test_data_without_a_test_document_is_refused(tmp_path: Path) -> None:
    settings = refresh_settings(tmp_path, rows("ab" * 10), test_share=0.0)
    with pytest.raises(DataError, match="The data has no test documents, so that no version could be judged; set"):
        load_for(settings, store_in(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_nights_of_any_kind_never_mix_training_and_test(tmp_path: Path, seed: int) -> None:
    """Whatever is added, copied, edited, retagged, withdrawn or shuffled, with ids or without."""
    store, draw = store_in(tmp_path), random.Random(seed)
    records, trained, tested = rows("abc" * 20), set[str](), set[str]()
    for night in range(5):
        version, tagged = version_of(tmp_path, records)
        texts = {split: set(map(folded_text, part["text"])) for split, part in tagged.splits.items()}
        assert not texts["train"] & texts["test"]
        assert not texts["train"] & tested
        assert not texts["test"] & trained
        assert not any(similarity(one, other) >= 0.8 for one in texts["train"] for other in texts["test"])
        assert ids(tagged, "test") <= set().union(*slices(store, version).values())
        trained |= texts["train"]
        tested |= texts["test"]
        new = rows("abcd" * 4, 100 * (night + 1))
        for row in new:
            if draw.random() < 0.3:
                del row["id"]
            if draw.random() < 0.3:
                row["text"] = draw.choice(records)["text"] + draw.choice(["", "!", " "])
            if draw.random() < 0.3:
                row["group"] = draw.choice("xyz")
        records = [row for row in records if draw.random() < 0.9] + new
        for row in draw.sample(records, 5):
            row["label"] = draw.choice("abc")
            row["text"] += draw.choice(["", "", "?"])
        draw.shuffle(records)


# -- renewal --------------------------------------------------------------------------------------------------------


def test_the_slices_replace_the_frozen_documents_which_are_trained_on_then(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    version_of(tmp_path, records)
    frozen = slices(store)["frozen"]
    for day in range(3):
        records += rows("ab" * 10, 100 * (day + 1))
        version_of(tmp_path, records)
    parts = slices(store)
    new = set().union(*(found for name, found in parts.items() if name != "frozen"))
    assert renew(store) == (
        f"The {len(new)} documents of the slices are the frozen test documents now; the 20 former ones may be trained "
        "on from the next refresh on."
    )
    assert slices(store) == {"frozen": new}
    records += rows("ab" * 20, 1000)
    _, tagged = version_of(tmp_path, records)
    assert frozen <= ids(tagged, "train")
    assert new <= ids(tagged, "test")


def test_too_few_documents_do_not_replace_the_frozen_ones(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), rows("ab" * 50)
    with pytest.raises(DataError, match="no version yet"):
        renew(store)
    version_of(tmp_path, records)
    records += rows("a" * 30, 100)
    version_of(tmp_path, records)
    before = list(read_json_lines(store.test / "frozen.jsonl", ""))
    counts = Counter(line["labels"][0] for line in before)
    with pytest.raises(DataError) as caught:
        renew(store)
    assert str(caught.value).splitlines()[1:] == [
        "  - 6 documents of the 10 that are needed", f"  - class b: 0 documents of {counts['b'] // 2}",
    ]  # fmt: skip
    assert list(read_json_lines(store.test / "frozen.jsonl", "")) == before
