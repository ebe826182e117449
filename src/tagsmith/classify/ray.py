"""Documents beyond one machine: Parquet in, Parquet out, by Ray Data, with one loaded Classifier an actor."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.columns import decided_columns
from tagsmith.core.errors import DataError, InputMissing, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "predicted_"
"""Before the names of the columns that are added, so that they never meet one of the input."""


class ClassifyBatch:
    """What an actor of `ray.data.Dataset.map_batches` does with `batch_format="pyarrow"`."""

    def __init__(
        self,
        bundle: str,
        text_field: str = "text",
        threads: int | None = None,
        providers: Sequence[str] | None = None,
    ):
        self.classifier = Classifier.load(bundle, threads=threads, providers=providers)
        self.text_field = text_field

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """The batch with the columns of `columns.decided_columns`, each with `PREFIX` before its name."""
        import pyarrow as pa

        kinds = {
            "label": pa.string(),
            "labels": pa.list_(pa.string()),
            "score": pa.float32(),
            "to_person": pa.bool_(),
            "set": pa.list_(pa.string()),
            "out_of_scope": pa.float32(),
            "error": pa.string(),
        }
        for name, values in decided_columns(self.classifier, batch.column(self.text_field).to_pylist()).items():
            # Typed: a batch in which a column has no value at all would have another type than its neighbours.
            batch = batch.append_column(PREFIX + name, pa.array(values, kinds[name]))
        return batch


def classify_parquet(
    bundle: str,
    source: str,
    target: str,
    *,
    text_field: str = "text",
    actors: int | tuple[int, int] = 1,
    threads: int = 1,
    gpus: float = 0,
    providers: Sequence[str] | None = None,
    batch_documents: int = 1024,
) -> None:
    """Classify the rows of Parquet files on the Ray cluster that this process is connected to (`ray.init`).

    Args:
        bundle: its folder, under the same path on every node.
        source, target: folder or address, as `ray.data.read_parquet` and `write_parquet` take them; every column of the
            input stays. A local target takes its name when all of it is written.
        actors: how many, or the fewest and the most.
        threads: cores of an actor.
        gpus: of an actor; with `providers=["CUDAExecutionProvider"]`.
        batch_documents: rows that are sorted by length together.

    Raises:
        SettingsError: ray is not installed, or the target exists.
        InputMissing, DataError: no bundle, or one that is not whole; no column of that name.
    """
    try:
        import ray.data
    except ImportError as error:
        raise SettingsError("tagsmith.classify.ray needs Ray; pip install -e '.[ray]'") from error
    remote = "://" in target
    if not remote and Path(target).exists():
        raise SettingsError(f"target={target}: exists; expected the name of a new folder.")
    if "://" not in source and not Path(source).exists():
        raise InputMissing(f"source={source}: does not exist.")
    Classifier.load(bundle, threads=1)  # What is wrong with it is told here, and not by an actor far away.
    rows = ray.data.read_parquet(source)
    names = rows.schema().names
    if text_field not in names:
        raise DataError(f"source={source}: expected the column {text_field}, found {', '.join(names)}.")
    if taken := [name for name in names if name.startswith(PREFIX)]:
        raise DataError(f"source={source}: expected no column whose name begins with {PREFIX}, found {taken}.")
    fewest, most = (actors, actors) if isinstance(actors, int) else actors
    words: dict[str, Any] = {"bundle": str(bundle), "text_field": text_field, "threads": threads}
    found = rows.map_batches(
        ClassifyBatch,
        fn_constructor_kwargs={**words, "providers": providers},
        batch_format="pyarrow",
        batch_size=batch_documents,
        compute=ray.data.ActorPoolStrategy(min_size=fewest, max_size=most),
        num_cpus=threads,
        num_gpus=gpus,
    )
    if remote:
        found.write_parquet(target)
        return
    path = Path(target).resolve()
    beside = path.with_name(f".{path.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        found.write_parquet(str(beside))
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
