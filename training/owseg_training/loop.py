"""The training loop."""

from __future__ import annotations

import ctypes
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from owseg.datasets import load_truth_map, open_dataset
from owseg.errors import UsageError
from owseg.replay.runner import make_folder
from owseg_training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from owseg_training.config import Recipe
from owseg_training.curves import LOG_EVERY, plot_curves
from owseg_training.data.stream import Batch, TrainingStream, collate, init_worker
from owseg_training.ema import WeightAverage
from owseg_training.losses import LossTerms, total_loss
from owseg_training.models import DMLNet, build_network, load_imagenet
from owseg_training.optim import build_optimizer, learning_rate
from owseg_training.parallel import ALONE, Processes, processes

CHECKPOINT = "checkpoint.pt"


def train(recipe: Recipe, root: Path, out: Path, *, resume: bool = False) -> Path:
    """Run a recipe; in one of several processes, take part in the run (see `parallel`).

    Args:
        recipe: what to run.
        root: folder of the data set.
        out: folder for checkpoint.pt and curves.png; made if missing.
        resume: continue from the checkpoint in `out`, which must be of the same recipe.

    Returns:
        The path of the final checkpoint, which the first process writes.

    Raises:
        DatasetError: the data set cannot be used.
        InputError: there is no readable checkpoint to resume.
        UsageError: the checkpoint to resume belongs to another recipe, or the batch cannot be
            split over the processes.
        OutputError: `out` cannot be written.
        HostError: the other processes cannot be reached.
    """
    keep_freed_memory()
    path = out / CHECKPOINT
    with processes(recipe.loop.batch) as ours:
        make_folder(out)
        run = _Run(recipe, root, ours)
        if resume:
            run.restore(load_checkpoint(path))
        for step in run.steps():
            due = (step + 1) % recipe.loop.checkpoint_every == 0 or step + 1 == recipe.loop.steps
            if due and ours.leads:
                save_checkpoint(run.state(), path)
    if ours.leads:
        plot_curves(run.history, out / "curves.png", title=recipe.name)
    return path


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global generator
    torch.manual_seed(seed)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of handing it back to the system.

    A training step on a CPU frees and asks again for hundreds of megabytes;
    without this the page faults take a third of the step.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 256 * 2**20)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16; GPUs before Ampere only emulate it, slowly."""
    return device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe whose parts do not fit together.

    Raises:
        UsageError: a loss lacks the part of the network that it trains, two losses contradict
            each other, or nothing stands for the unknown.
    """
    _check_unknown(recipe)
    if recipe.loss.contrast and not recipe.network.projection:
        raise UsageError(
            f"the recipe '{recipe.name}' has a contrastive loss but no embedding for it; set "
            "network.projection, e.g. to 256"
        )


def _check_unknown(recipe: Recipe) -> None:
    loss, name = recipe.loss, recipe.name
    if not 0 <= loss.entropy < 1:
        raise UsageError(
            f"loss.entropy of the recipe '{name}' is {loss.entropy}; expected 0 or more, below 1"
        )
    if loss.entropy and (loss.outlier or recipe.network.unknown):
        other = "loss.outlier" if loss.outlier else "network.unknown"
        raise UsageError(
            f"the recipe '{name}' has loss.entropy and {other}, which teach two things of the same "
            "strange pixels; choose one"
        )
    augment, data = recipe.augment, recipe.data
    strange = augment.paste or augment.foreign or data.scenes or data.outliers.share
    learns = loss.entropy or (recipe.network.unknown and not data.learn_void)
    if learns and not strange:
        raise UsageError(
            f"the recipe '{name}' learns the unknown but has nothing that stands for it; set "
            "augment.foreign or augment.paste, or data.outliers"
        )


def start_from(network: DMLNet, recipe: Recipe, names: tuple[str, ...], start: Checkpoint) -> None:
    """Start from the average of another run: all of it where that is a network for the same.

    That is one of the same shape and head, for the same classes; of others the backbone is taken.

    Args:
        network: that is to learn.
        recipe: of it.
        names: of its classes.
        start: the other run.

    Raises:
        UsageError: that run had another backbone.
    """
    own = {name: value.shape for name, value in network.state_dict().items()}
    same = own == {name: value.shape for name, value in start.average.items()}
    if same and start.class_names == names and start.recipe.network.head == recipe.network.head:
        network.load_state_dict(start.average)
    else:
        load_backbone(network, start)


def load_backbone(network: DMLNet, checkpoint: Checkpoint) -> None:
    """Start from the averaged backbone of another run, of whatever data set and head.

    A separate direction branch starts from it too.

    Raises:
        UsageError: that run had another backbone.
    """
    prefix = "backbone."
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint.average.items()
        if name.startswith(prefix)
    }
    try:
        network.backbone.load_state_dict(weights)
        if network.direction_backbone is not None:
            network.direction_backbone.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError(
            f"cannot start from a run of '{checkpoint.recipe.name}': it has another backbone "
            f"({checkpoint.recipe.network.backbone}, width {checkpoint.recipe.network.width})"
        ) from error


class _Run:
    """Network, optimiser, average and data of one run."""

    def __init__(self, recipe: Recipe, root: Path, ours: Processes = ALONE) -> None:
        seed_everything(recipe.seed)
        check_recipe(recipe)
        self.recipe = recipe
        self.ours = ours
        self.device = ours.device
        self.mixed = recipe.loop.amp and has_bfloat16(self.device)
        truth_map = load_truth_map(recipe.data.truth_map)
        self.class_names = truth_map.known_names
        network = build_network(recipe.network, len(self.class_names))
        if recipe.network.imagenet:
            load_imagenet(network)
        if recipe.network.init:
            start = load_checkpoint(recipe.network.init)
            start_from(network, recipe, self.class_names, start)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        ours.unite(self.network)
        self.average = WeightAverage(self.network, recipe.optim.ema)
        self.optimizer = build_optimizer(self.network, recipe.optim)
        if not ours.leads:
            torch.manual_seed(recipe.seed + ours.rank)  # dropout differs from process to process
        reader = open_dataset(recipe.data.dataset, root, recipe.data.split)
        self.stream = TrainingStream(reader, truth_map, recipe, self.network.stride)
        self.class_weights = self._class_weights()
        self.step = 0
        self.history: dict[str, list[float]] = defaultdict(list)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue where a checkpoint of the same recipe stopped."""
        if checkpoint.recipe != self.recipe or checkpoint.class_names != self.class_names:
            raise UsageError(
                "the checkpoint to resume was made by another recipe, seed or split; "
                "start in an empty folder, or resume with the options of the first run"
            )
        self.network.load_state_dict(checkpoint.network)
        self.average.network.load_state_dict(checkpoint.average)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.step = checkpoint.step
        self.history = defaultdict(list, checkpoint.history)

    def state(self) -> Checkpoint:
        """Return everything that is needed to continue."""
        return Checkpoint(
            recipe=self.recipe,
            class_names=self.class_names,
            step=self.step,
            network=self.network.state_dict(),
            average=self.average.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            history=dict(self.history),
        )

    def steps(self) -> Iterator[int]:
        """Do the remaining steps, yielding the number of each when it is done."""
        recipe, quiet = self.recipe, not self.ours.leads
        total, done = recipe.loop.steps, self.step
        with tqdm(total=total, initial=done, desc=recipe.name, unit="step", disable=quiet) as bar:
            for batch in self._batches():
                terms = self._step(batch)
                self._log(terms, bar)
                self.step += 1
                yield self.step - 1

    def _batches(self) -> Iterator[Batch]:
        loop = self.recipe.loop
        loader = DataLoader(
            self.stream,
            batch_sampler=[self.ours.share(i, loop.batch) for i in range(self.step, loop.steps)],
            num_workers=loop.workers,
            collate_fn=collate,
            worker_init_fn=init_worker,
            pin_memory=self.device.type == "cuda",
        )
        for batch in loader:
            yield Batch(*(tensor.to(self.device, non_blocking=True) for tensor in batch))

    def _step(self, batch: Batch) -> LossTerms:
        recipe = self.recipe
        rate = learning_rate(self.step, recipe.loop.steps, recipe.optim)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        images = batch.images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            output = self.network(images)
        terms = total_loss(
            output, batch, recipe, self.network.prototypes, self.class_weights, self._randomness()
        )
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        self.ours.average_gradients(self.network)
        for parameters in self.network.learners():
            torch.nn.utils.clip_grad_norm_(parameters, recipe.optim.clip)
        self.optimizer.step()
        self.average.update(self.network, self.step)
        return terms

    def _randomness(self) -> torch.Generator:
        """Return what the loss draws from, decided by seed and step alone.

        All processes draw the same: the contrastive loss is one of their common batch.
        """
        seed = int(np.random.SeedSequence([self.recipe.seed, self.step]).generate_state(1)[0])
        return torch.Generator(self.device).manual_seed(seed)

    def _log(self, terms: LossTerms, bar: tqdm[None]) -> None:
        if self.step % LOG_EVERY == 0:
            for name, value in zip(terms._fields, self.ours.averages(terms), strict=True):
                self.history[name].append(value)
            bar.set_postfix(loss=f"{self.history['total'][-1]:.3f}")
        bar.update()

    def _class_weights(self) -> Tensor | None:
        exponent = self.recipe.loss.class_balance
        if not exponent:
            return None
        frequency = torch.from_numpy(self.stream.frequencies).clamp_min(1e-4)
        weights = frequency.pow(-exponent)
        weights /= (weights * frequency).sum()
        if self.recipe.network.unknown and not self.recipe.data.learn_void:
            weights[-1] = 1.0  # of pasted pixels nobody knows the share
        return weights.to(self.device)
