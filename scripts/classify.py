"""Classify a file or a folder of documents with an exported bundle."""

import sys

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import ClassifyRun


@script("classify")
def main(settings: ClassifyRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for onnxruntime.
    from tagsmith.classify.files.classify_files import classify_files
    from tagsmith.core.errors import counted

    counts = classify_files(settings)
    classified, errors = counted(counts.classified, "row"), counted(counts.errors, "row")
    done = f"{settings.output}: {classified} classified, {errors} with an error"
    print(done, file=sys.stderr if settings.output == "-" else sys.stdout)


if __name__ == "__main__":
    main()
