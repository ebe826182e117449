"""Classify Parquet files on a Ray cluster with Ray Data; each actor loads one Classifier."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.columns import decided_columns
from tagsmith.classify.engine import AUTO
from tagsmith.core.errors import DataError, InputMissing, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "predicted_"
"""Prefix of the added columns, so that their names never collide with those of the input."""


class ClassifyBatch:
    """The callable class for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`."""

    def __init__(
        self,
        bundle: str,
        text_field: str = "text",
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        engine: str = AUTO,
        precision: str = AUTO,
    ):
        self.classifier = Classifier.load(
            bundle, threads=threads, providers=providers, engine=engine, precision=precision
        )
        self.text_field = text_field

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """The batch with the columns of `columns.decided_columns`, their names prefixed with `PREFIX`."""
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
            # With explicit types: a column without any value would otherwise get another type than in other batches.
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
    engine: str = AUTO,
    precision: str = AUTO,
) -> None:
    """Classify the rows of Parquet files on the Ray cluster to which this process is connected (`ray.init`).

    Args:
        bundle: the folder, at the same path on every node.
        source, target: paths or URIs for `ray.data.read_parquet` and `write_parquet`; all columns of the input are
            kept. A local target is renamed into place once it is complete.
        actors: their number, or the minimum and the maximum.
        threads: cores per actor.
        gpus: GPUs per actor, for `providers=["CUDAExecutionProvider"]`.
        batch_documents: number of rows that are sorted by length together.
        engine, precision: as for `Classifier.load`, on each node by its own processor.

    Raises:
        SettingsError: ray is not installed, or the target exists.
        InputMissing, DataError: the bundle is missing or damaged, or the text column is missing.
    """
    try:
        import ray.data
    except ImportError as error:
        raise SettingsError("tagsmith.ray needs Ray: pip install 'tagsmith[ray]'") from error
    remote = "://" in target
    if not remote and Path(target).exists():
        raise SettingsError(f"target={target}: already exists; expected the name of a new folder.")
    if "://" not in source and not Path(source).exists():
        raise InputMissing(f"source={source}: does not exist.")
    Classifier.load(bundle, threads=1)  # Reports a damaged bundle here rather than in a remote actor.
    rows = ray.data.read_parquet(source)
    names = rows.schema().names
    if text_field not in names:
        raise DataError(f"source={source}: expected the column {text_field}, found {', '.join(names)}.")
    if taken := [name for name in names if name.startswith(PREFIX)]:
        raise DataError(
            f"source={source}: expected no column whose name begins with {PREFIX}, found {', '.join(taken)}."
        )
    fewest, most = (actors, actors) if isinstance(actors, int) else actors
    arguments: dict[str, Any] = {"bundle": str(bundle), "text_field": text_field, "threads": threads}
    arguments |= {"providers": providers, "engine": engine, "precision": precision}
    found = rows.map_batches(
        ClassifyBatch,
        fn_constructor_kwargs=arguments,
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
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        found.write_parquet(str(partial))
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
