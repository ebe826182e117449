"""When training saves where it stands, what of it, and how it goes on from there."""

import hashlib
import logging
import time
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, distributed

from tagsmith.config.settings import TrainSettings
from tagsmith.core.errors import DataError, Interrupted
from tagsmith.core.signals import Interruption
from tagsmith.model.sharding import set_optimizer, set_weights, whole
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train import checkpoint
from tagsmith.train.averages import WeightAverages
from tagsmith.train.checkpoint import Progress, State
from tagsmith.train.training_log import TrainingLog

log = logging.getLogger("tagsmith")

MOST_OF_THE_TIME = 0.02
"""Share of the time that checkpoints by the clock may cost."""

GO_ON, SAVE, LEAVE = 0, 1, 2


class Checkpoints:
    """The checkpoints of one training; every process of a launch has one and calls it at the same steps.

    A checkpoint falls between two steps, wherever the clock or a signal wants it: nothing of the result, and no line of
    figures, depends on where.
    """

    def __init__(
        self,
        folder: Path,
        model: TextClassifier,
        optimizer: torch.optim.Optimizer,
        averages: WeightAverages | None,
        training_log: TrainingLog,
        settings: TrainSettings,
    ):
        self.folder, self.model, self.optimizer, self.training_log = folder, model, optimizer, training_log
        self.averages, self.settings = averages, settings
        self.accelerator: Accelerator = training_log.accelerator
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        self.trained = [name for name in model.state_dict() if name not in frozen]
        self.frozen = _digest({name: model.state_dict()[name] for name in sorted(frozen)})
        self.best: dict[str, Tensor] | None = None
        # A group of its own, on the CPU: on a GPU the processes then agree without waiting for their devices.
        several = self.accelerator.num_processes > 1
        self.group = distributed.new_group(backend="gloo") if several else None
        weights = model.state_dict()
        size = 3 * sum(weights[name].numel() * weights[name].element_size() for name in self.trained)
        self.cost = 0.05 + size / 200e6  # A guess in seconds, until the first has been written.
        self.written, self.seconds = 0, 0.0
        self.started = self.saved = time.monotonic()

    def go_on_from(self, path: Path | None) -> Progress:
        """Set weights, optimiser, random numbers and figures to what they were; None: leave all as it is.

        Raises:
            DataError: the encoder is not the one with which the run began.
        """
        if path is None:
            self.training_log.go_on(0, [])
            return Progress()
        state = checkpoint.load(path)
        if state.frozen != self.frozen or state.weights.keys() != {*self.trained}:
            raise DataError(
                f"{path} was written for another encoder: expected frozen weights of SHA-256 {state.frozen}, found "
                f"{self.frozen}. Put the encoder back, or train anew with overwrite=true."
            )
        set_weights(self.model, state.weights)
        set_optimizer(self.optimizer, state.optimizer)
        self.best = state.best
        if self.averages is not None and state.averages is not None:
            self.averages.go_on(state.averages)
        if self.accelerator.scaler is not None and state.scaler:
            self.accelerator.scaler.load_state_dict(state.scaler)
        if self.accelerator.process_index < len(state.processes):
            mine = state.processes[self.accelerator.process_index]
            torch.set_rng_state(mine["cpu"])
            if torch.cuda.is_available() and "cuda" in mine:
                torch.cuda.set_rng_state(mine["cuda"])
        self.training_log.go_on(state.progress.step, [process["figures"] for process in state.processes])
        log.info(f"goes on from {path}: epoch {state.progress.epoch + 1}, step {state.progress.step:,}")
        return state.progress

    def keep_best(self) -> None:
        """Hold the weights of now, as the best ones, on the main process; they are in every checkpoint from here on."""
        weights = self._weights()
        main = self.accelerator.is_main_process
        self.best = {name: tensor.cpu().clone() for name, tensor in weights.items()} if main else {}

    def after_step(self, progress: Progress, occasion: bool, interruption: Interruption) -> None:
        """Save a checkpoint where one is due; stop where any of the processes has received a signal.

        Args:
            occasion: a validation or the end of an epoch has just been.

        Raises:
            Interrupted: on the main process; elsewhere SystemExit.
        """
        decision = LEAVE if interruption.signal_name is not None else GO_ON
        if decision == GO_ON and self.accelerator.is_main_process and self._is_due(progress, occasion):
            decision = SAVE
        if self.group is not None:
            # One number over the CPU's network: a host waits for the other hosts, never for its device.
            decisions = torch.tensor(decision)
            distributed.all_reduce(decisions, distributed.ReduceOp.MAX, self.group)
            decision = int(decisions)
        if decision == GO_ON:
            return
        saved = self._save(progress)
        if decision == LEAVE:
            # All leave together: a launcher that sees one of them gone kills the others.
            self.accelerator.wait_for_everyone()
            if not self.accelerator.is_main_process:
                raise SystemExit(Interrupted.exit_status)
            stands = "saved" if saved else "the last checkpoint stands"
            raise Interrupted(f"{interruption.signal_name or 'another process'} after step {progress.step:,}, {stands}")

    def finish(self) -> None:
        """Give the main process's model, or all shares of one, the weights that are kept; say what saving has cost.

        They are the best ones where there was a validation, else the averages where there are any.
        """
        if self.best is None and self.averages is not None:
            self.averages.keep()
        if self.best is not None:
            set_weights(self.model, self.best)
        if self.written:
            share = self.seconds / (time.monotonic() - self.started)
            log.info(f"checkpoints: {self.written} written in {self.seconds:.1f} s, {share:.1%} of the training")

    def _weights(self) -> dict[str, Tensor]:
        """Those that are trained, and buffers, whole on the main process; every process must call this."""
        weights = self.model.state_dict()
        trained = {name: weights[name] for name in self.trained}
        return cast(dict[str, Tensor], whole(trained, self.accelerator.is_main_process))

    def _is_due(self, progress: Progress, occasion: bool) -> bool:
        """Whether the clock or the settings want a checkpoint; never at the end, where the weights follow."""
        if progress.stopped or progress.epoch == self.settings.epochs:
            return False
        every, minutes = self.settings.checkpoint_every, self.settings.checkpoint_minutes
        if every is not None and progress.step % every == 0:
            return True
        since = time.monotonic() - self.saved
        wanted = occasion or (minutes is not None and since >= 60 * minutes)
        return wanted and since * MOST_OF_THE_TIME >= self.cost

    def _save(self, progress: Progress) -> bool:
        """Write a checkpoint; where it cannot be written, the ones before it stay, and training goes on."""
        started = time.monotonic()
        process = {"cpu": torch.get_rng_state(), "figures": self.training_log.state()}
        if torch.cuda.is_available():
            process["cuda"] = torch.cuda.get_rng_state()
        processes = gather_object([process]) if self.accelerator.num_processes > 1 else [process]
        saved = True
        weights, optimizer = self._weights(), whole(self.optimizer.state_dict(), self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {}
            averages = self.averages.state() if self.averages is not None else None
            state = State(progress, weights, self.frozen, averages, self.best, optimizer, scaler, processes)
            try:
                # The lines first: a checkpoint without the lines up to its step would lose them for good.
                self.training_log.settle()
                checkpoint.save(self.folder, state, self.settings.keep_checkpoints)
                self.written += 1
            except OSError as error:
                saved = False
                log.warning(f"No checkpoint after step {progress.step:,}: {self.folder} cannot be written: {error}.")
        self.saved = time.monotonic()
        if saved:
            self.cost = self.saved - started
        self.seconds += self.saved - started
        self.training_log.since += self.saved - started
        return saved


def _digest(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(whole(tensor, keep=True).detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
