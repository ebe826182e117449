"""When training saves a checkpoint, what is in it, and how training resumes from it."""

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor, distributed

from tagsmith.core.errors import DataError, Interrupted
from tagsmith.core.signals import Interruption
from tagsmith.model.sharding import gather, set_optimizer, set_weights
from tagsmith.train import checkpoint
from tagsmith.train.checkpoint import Progress, State
from tagsmith.train.optimizer import WeightAverages
from tagsmith.train.training_job import TrainingJob
from tagsmith.train.training_log import TrainingLog

log = logging.getLogger("tagsmith")

MOST_OF_THE_TIME = 0.02
"""Share of the time that checkpoints by the clock may cost."""

CONTINUE, SAVE, STOP = 0, 1, 2


class Checkpoints:
    """The checkpoints of one training; every process of a launch has one and calls it at the same steps.

    A checkpoint falls between two steps, whenever the clock or a signal asks for it; neither the weights nor the
    figures depend on when.
    """

    def __init__(
        self,
        job: TrainingJob,
        optimizer: torch.optim.Optimizer,
        averages: WeightAverages | None,
        training_log: TrainingLog,
    ):
        self.model, self.recipe, self.accelerator = job.model.classifier, job.recipe, job.accelerator
        self.folder, self.training_log = training_log.run.checkpoints, training_log
        self.optimizer, self.averages = optimizer, averages
        weights = self.model.state_dict()
        frozen = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        self.trained = [name for name in weights if name not in frozen]
        self.frozen = _digest({name: weights[name] for name in sorted(frozen)})
        self.best: dict[str, Tensor] | None = None
        # A group of its own, on the CPU: GPU processes then agree without waiting for their devices.
        several = self.accelerator.num_processes > 1
        self.group = distributed.new_group(backend="gloo") if several else None
        size = 3 * sum(weights[name].numel() * weights[name].element_size() for name in self.trained)
        self.cost = 0.05 + size / 200e6  # Seconds, an estimate until the first checkpoint is written.
        self.written, self.seconds = 0, 0.0
        self.started = self.saved = time.monotonic()

    def resume_from(self, path: Path | None) -> Progress:
        """Restore weights, optimiser, random numbers and figures from a checkpoint; None: start from the beginning.

        Raises:
            DataError: the checkpoint is of another encoder.
        """
        if path is None:
            self.training_log.resume(0, [])
            return Progress()
        state = checkpoint.load(path)
        if state.frozen != self.frozen or state.weights.keys() != {*self.trained}:
            raise DataError(
                f"{path} was written for another encoder: expected frozen weights of SHA-256 {state.frozen}, found "
                f"{self.frozen}. Restore the encoder, or train from scratch with overwrite=true."
            )
        set_weights(self.model, state.weights)
        set_optimizer(self.optimizer, state.optimizer)
        self.best = state.best
        if self.averages is not None and state.averages is not None:
            self.averages.load_state(state.averages)
        if self.accelerator.scaler is not None and state.scaler:
            self.accelerator.scaler.load_state_dict(state.scaler)
        if self.accelerator.process_index < len(state.processes):
            mine = state.processes[self.accelerator.process_index]
            torch.set_rng_state(mine["cpu"])
            if torch.cuda.is_available() and "cuda" in mine:
                torch.cuda.set_rng_state(mine["cuda"])
        self.training_log.resume(state.progress.step, [process["figures"] for process in state.processes])
        log.info(f"resuming from {path}: epoch {state.progress.epoch + 1}, step {state.progress.step:,}")
        return state.progress

    def keep_best(self) -> None:
        """Keep the current weights as the best ones, on the main process; later checkpoints contain them."""
        weights = self._weights()
        main = self.accelerator.is_main_process
        self.best = {name: tensor.cpu().clone() for name, tensor in weights.items()} if main else {}

    def after_step(self, progress: Progress, occasion: bool, interruption: Interruption) -> None:
        """Save a checkpoint if one is due; stop if any of the processes has received a signal.

        Args:
            occasion: a validation or the end of an epoch was just reached.

        Raises:
            Interrupted: on the main process; elsewhere SystemExit.
        """
        decision = STOP if interruption.signal_name is not None else CONTINUE
        if decision == CONTINUE and self.accelerator.is_main_process and self._is_due(progress, occasion):
            decision = SAVE
        if self.group is not None:
            # One number over the CPU's network: a host waits for the other hosts, never for its device.
            decisions = torch.tensor(decision)
            distributed.all_reduce(decisions, distributed.ReduceOp.MAX, self.group)
            decision = int(decisions)
        if decision == CONTINUE:
            return
        saved = self._save(progress)
        if decision == STOP:
            # All processes exit together: a launcher that sees one of them exit kills the others.
            self.accelerator.wait_for_everyone()
            if not self.accelerator.is_main_process:
                raise SystemExit(Interrupted.exit_status)
            outcome = "saved" if saved else "the last checkpoint is kept"
            raise Interrupted(
                f"{interruption.signal_name or 'another process'} after step {progress.step:,}, {outcome}"
            )

    def load_kept_weights(self) -> None:
        """Set the main process's model, or all shards of one, to the weights that training keeps; log the cost.

        They are the best ones if there was a validation, else the averages if there are any.
        """
        if self.best is None and self.averages is not None:
            self.averages.swap()
        if self.best is not None:
            set_weights(self.model, self.best)
        if self.written:
            share = self.seconds / (time.monotonic() - self.started)
            log.info(f"checkpoints: {self.written} written in {self.seconds:.1f} s, {share:.1%} of the training")

    def _weights(self) -> dict[str, Tensor]:
        """The trained weights and buffers, complete on the main process; every process must call this."""
        weights = self.model.state_dict()
        gathered: dict[str, Tensor] = gather(
            {name: weights[name] for name in self.trained}, self.accelerator.is_main_process
        )
        return gathered

    def _is_due(self, progress: Progress, occasion: bool) -> bool:
        """Whether the clock or the settings want a checkpoint; never at the end, where the weights are saved."""
        if progress.stopped or progress.epoch == self.recipe.epochs:
            return False
        every, minutes = self.recipe.checkpoint_every, self.recipe.checkpoint_minutes
        if every is not None and progress.step % every == 0:
            return True
        since = time.monotonic() - self.saved
        wanted = occasion or (minutes is not None and since >= 60 * minutes)
        return wanted and since * MOST_OF_THE_TIME >= self.cost

    def _save(self, progress: Progress) -> bool:
        """Write a checkpoint; returns whether it was written. If not, the earlier ones stay."""
        started = time.monotonic()
        process: dict[str, Any] = {"cpu": torch.get_rng_state(), "figures": self.training_log.state()}
        if torch.cuda.is_available():
            process["cuda"] = torch.cuda.get_rng_state()
        processes = gather_object([process]) if self.accelerator.num_processes > 1 else [process]
        saved = True
        weights, optimizer = self._weights(), gather(self.optimizer.state_dict(), self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {}
            averages = self.averages.state() if self.averages is not None else None
            state = State(progress, weights, self.frozen, averages, self.best, optimizer, scaler, processes)
            try:
                # The lines first: a checkpoint without the lines up to its step would lose them for good.
                self.training_log.sync()
                checkpoint.save(self.folder, state, self.recipe.keep_checkpoints)
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
        digest.update(gather(tensor, keep=True).detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
