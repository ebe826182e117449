"""Several trainings from the same start, each with its own batches and dropout; their weights are averaged.

Wortsman et al., Model soups, arXiv 2203.05482.
"""

import shutil
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from tagsmith.core.run import RunFolder
from tagsmith.model.loaded_model import load_weights, save_weights
from tagsmith.model.processes import on_main
from tagsmith.model.text_classifier import TextClassifier


def folder_of(run: RunFolder, number: int) -> RunFolder:
    """The folder of training `number`, counted from 0, for its figures and checkpoints: the run for the first one."""
    return RunFolder(run.soup / str(number)) if number else run


def count_finished(run: RunFolder) -> int:
    """How many trainings are finished: their weights are kept."""
    number = 0
    while _weights(run, number).is_file():
        number += 1
    return number


def keep(run: RunFolder, number: int, model: TextClassifier, accelerator: Accelerator) -> None:
    """Keep the weights of a finished training and remove its checkpoints.

    Raises:
        TryAgainLater: they cannot be written, such as on a full disk.
    """
    weights = model.state_dict()
    on_main(accelerator, lambda: save_weights(_weights(run, number), weights))
    if accelerator.is_main_process:
        shutil.rmtree(folder_of(run, number).checkpoints, ignore_errors=True)


def average(run: RunFolder, size: int, model: TextClassifier) -> None:
    """Set the model to the means of the weights of `size` trainings; untrained weights keep every bit.

    Raises:
        DataError: kept weights are damaged.
    """
    sums: dict[str, Tensor] = {}
    for number in range(size):
        load_weights(_weights(run, number), model)
        for name, tensor in model.state_dict().items():
            sums[name] = sums[name] + tensor.cpu().double() if number else tensor.cpu().double()
    model.load_state_dict({name: total / size for name, total in sums.items()})


def clear(run: RunFolder) -> None:
    """Remove what only the average needs; the figures of the trainings stay."""
    for path in run.soup.glob("*.safetensors"):
        path.unlink()
    for path in run.soup.glob("*/checkpoints"):
        shutil.rmtree(path, ignore_errors=True)


def _weights(run: RunFolder, number: int) -> Path:
    return run.soup / f"{number}.safetensors"
