"""Classify a file or a folder of documents with an exported bundle."""

from tagsmith.config import script
from tagsmith.settings import ClassifyRun


@script("classify")
def main(settings: ClassifyRun) -> None:
    # Imported here, so that --help and a wrong setting are answered without waiting for onnxruntime.
    from tagsmith.classify_files import classify_files

    counts = classify_files(settings)
    print(f"{settings.output}: {counts.classified:,} rows classified, {counts.errors:,} rows with an error")


if __name__ == "__main__":
    main()
