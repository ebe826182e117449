"""The untagged pool: texts that a teacher scores for its student, none of them (nearly) a held-out document."""

import math
from dataclasses import replace

import datasets
import pyarrow as pa

from tagsmith.config.settings import AnalysisSettings, DataSettings, OnBadRow
from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.run import RunFolder
from tagsmith.data.check import folded_text, same_text
from tagsmith.data.dataset_folders import DAMAGED, RESTORE
from tagsmith.data.load import TaggedData
from tagsmith.data.read_texts import usable_texts
from tagsmith.evaluate.analysis.near_duplicates import similar_pairs


def with_pool(tagged: TaggedData, settings: DataSettings) -> TaggedData:
    """The documents with the texts of `data.pool`: without those of documents, and near-copies of held-out ones.

    Raises:
        InputMissing: a file does not exist.
        DataError: more rows have no text than `data.on_bad_row` allows, or no text is left.
    """
    if settings.pool is None:
        return tagged
    texts, bad = usable_texts(settings.pool, settings, "data.pool")
    share = {OnBadRow.skip: 1.0, OnBadRow.error: 0.0}.get(settings.on_bad_row, settings.max_bad_share)
    if len(bad) > math.ceil(share * (len(texts) + len(bad))):
        headline = (
            f"data.pool={settings.pool}: {counted(len(bad), 'row')} without a text; correct them, or leave them out "
            "with data.on_bad_row=skip:"
        )
        raise DataError(listing(headline, bad))
    known = {same_text(text) for part in tagged.splits.values() for text in part["text"][:]}
    texts_held_out = [
        tagged.out_of_scope,
        *(part["text"][:] for name, part in tagged.splits.items() if name != "train"),
    ]
    held_out = dict.fromkeys(folded_text(text) for part in texts_held_out for text in part)
    new = list({same_text(text): text for text in texts if same_text(text) not in known}.values())
    folded = {folded_text(text): None for text in new}
    compared = [*held_out, *(text for text in folded if text not in held_out)]
    near = {
        compared[j] for i, j, _ in similar_pairs(compared, AnalysisSettings().similarity, len(held_out))
    } | held_out.keys()
    kept = [text for text in new if folded_text(text) not in near]
    if not kept:
        raise DataError(f"data.pool={settings.pool}: each text is that of a tagged document, or nearly a held-out one.")
    left_out = {
        "without a text": len(bad),
        "that repeat a text of the pool or of a document": len(texts) - len(new),
        "that are nearly a held-out document": len(new) - len(kept),
    }
    reasons = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
    without = f"; left out: {reasons}" if reasons else ""
    notes = [*tagged.notes, f"data.pool: {counted(len(kept), 'untagged text')}{without}."]
    return replace(tagged, notes=notes, pool=kept)


def save_pool(texts: list[str], run: RunFolder) -> None:
    """Write the pool into the run; `load_pool` reads it."""
    table = pa.table({"id": [f"pool:{i}" for i in range(1, len(texts) + 1)], "text": texts})
    datasets.Dataset(datasets.table.InMemoryTable(table)).save_to_disk(str(run.pool))


def load_pool(run: RunFolder) -> datasets.Dataset | None:
    """The pool of a run, columns `id` and `text`, memory-mapped; None where it has none. Raises: DataError."""
    if not run.pool.is_dir():
        return None
    try:
        pool = datasets.load_from_disk(str(run.pool))
        pool.data.validate(full=True)
        return pool.select_columns(["id", "text"])
    except DAMAGED as error:
        raise DataError(f"{run.pool}: expected the pool of the run, found {error!r}; {RESTORE}.") from error
