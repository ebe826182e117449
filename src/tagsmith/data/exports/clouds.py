"""The labels in what cloud services import and export: Comprehend's augmented manifest, Vertex AI's JSON Lines."""

from collections.abc import Mapping
from typing import Any

from tagsmith.data.exports.answers import Answer, Kind

METADATA = "-metadata"
MANIFEST = "groundtruth/text-classification"
"""Beginning of the `type` in the metadata of a job of SageMaker Ground Truth."""

ML_USE = "aiplatform.googleapis.com/ml_use"


def jobs(record: Mapping[str, Any]) -> list[str]:
    """The labelling jobs of text classification in a line of an augmented manifest."""
    return [
        name.removesuffix(METADATA)
        for name, value in record.items()
        if name.endswith(METADATA) and isinstance(value, Mapping) and str(value.get("type")).startswith(MANIFEST)
    ]


def manifest_answer(record: Mapping[str, Any], text: str, job: str, place: str) -> Answer | str:
    """The answer of a job; a label that no person gave counts as unreviewed."""
    metadata = record.get(f"{job}{METADATA}")
    if not isinstance(metadata, Mapping):
        return f"{place}: expected {job}{METADATA}, found {', '.join(record)}"
    many, one = metadata.get("class-map"), metadata.get("class-name")
    names = list(many.values()) if isinstance(many, Mapping) else [] if one is None else [one]
    kind = Kind.unreviewed if metadata.get("human-annotated") == "no" else Kind.tag
    return Answer(None, text, kind, tuple(dict.fromkeys(map(str, names))), place=place)


def is_vertex(record: Mapping[str, Any]) -> bool:
    """Whether a record is a line of Vertex AI's text classification."""
    return ("textContent" in record or "textGcsUri" in record) and any(
        name in record for name in ("classificationAnnotation", "classificationAnnotations")
    )


def vertex_answer(record: Mapping[str, Any], text: str, place: str) -> Answer | str:
    """The labels of a line."""
    one, many = record.get("classificationAnnotation"), record.get("classificationAnnotations")
    annotations = many if isinstance(many, list) else [] if one is None else [one]
    names = [annotation.get("displayName") if isinstance(annotation, Mapping) else None for annotation in annotations]
    if None in names:
        return f"{place}: expected displayName in each annotation, found {str(annotations)[:80]}"
    return Answer(None, text, Kind.tag, tuple(dict.fromkeys(map(str, names))), place=place)


def vertex_split(record: Mapping[str, Any]) -> Any:
    """The split that a line names, if any."""
    labels = record.get("dataItemResourceLabels")
    return labels.get(ML_USE) if isinstance(labels, Mapping) else None
