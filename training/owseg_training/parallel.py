"""One run in several processes: which of them this is, and how they share the work.

The processes are started by torchrun, which says in the environment which is which. Each trains
the same network on its share of every batch; the gradients are averaged, so that all take the same
step. Without that environment there is one process, and no process group.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from owseg.errors import HostError, OwsegError, UsageError
from owseg_training.shared_norm import share_statistics

WAIT = timedelta(minutes=10)
"""How long a process waits for the others."""

_runs = itertools.count()


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: number of this process, 0 for the one that writes.
        size: number of processes.
        local_rank: number of this process on its machine, which is that of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """What this process computes on."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank) if self.size > 1 else torch.device("cuda")

    def share(self, step: int, batch: int) -> list[int]:
        """Return the draws of a step that are this process's, of `batch` in all."""
        own = batch // self.size
        first = step * batch + self.rank * own
        return list(range(first, first + own))

    def unite(self, network: nn.Module) -> None:
        """Give the networks of all the weights of the first, and their norms common statistics."""
        if self.size == 1:
            return
        share_statistics(network)
        for value in network.state_dict().values():
            dist.broadcast(value, 0)

    def average_gradients(self, network: nn.Module) -> None:
        """Replace the gradients by their averages: those of the average of the losses of all.

        Not by torch's DistributedDataParallel: it keeps the group alive in cycles, and to destroy
        that can block for good between Python's lock and the threads of gloo.
        """
        if self.size == 1:
            return
        own = [p.grad for p in network.parameters() if p.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in own])
        dist.all_reduce(total)
        total /= self.size
        parts = torch.split(total, [gradient.numel() for gradient in own])
        for gradient, part in zip(own, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def averages(self, values: Sequence[Tensor]) -> list[float]:
        """Return the averages of scalars over the processes, all of which must ask."""
        if self.size == 1:
            return [float(value.detach()) for value in values]
        total = torch.stack([value.detach().double() for value in values])
        dist.all_reduce(total)
        return (total / self.size).tolist()


ALONE = Processes()


def this_process() -> Processes:
    """Say which process this is, by the environment of torchrun.

    Raises:
        UsageError: that environment is incomplete or makes no sense.
    """
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        return ALONE
    found = Processes(_number("RANK", 0, size - 1), size, _number("LOCAL_RANK", 0, size - 1))
    _variable("MASTER_ADDR")
    _number("MASTER_PORT", 1, 65535)
    return found


def refuse_several(command: str) -> None:
    """Refuse a command that does all of its work in one process.

    Raises:
        UsageError: there are several.
    """
    found = this_process()
    if found.size > 1:
        raise UsageError(
            f"{command} runs in one process, and torchrun started {found.size}; start it without "
            "torchrun, or train the networks beforehand: 'owseg train' can share its work"
        )


@contextmanager
def processes(batch: int) -> Iterator[Processes]:
    """Join the processes of this run, if it has several, and leave them at the end.

    Args:
        batch: images of a step of the whole run.

    Raises:
        UsageError: the environment of torchrun is incomplete, the batch cannot be split evenly,
            or there are fewer GPUs than processes.
        HostError: the others cannot be reached, or one of them ended.
    """
    found = this_process()
    if found.size == 1:
        yield found
        return
    _check(found, batch)
    _join(found)
    try:
        yield found
        found.averages([torch.zeros((), device=found.device)])  # wait for the one that writes
    except BaseException as error:
        if _is_of_group(error):
            atexit.register(_end_at_once, HostError.exit_code)
            raise _lost(found, error) from error
        atexit.register(_end_at_once, _exit_code(error))
        raise
    dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes that train together now."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _check(found: Processes, batch: int) -> None:
    if not dist.is_available():
        raise UsageError(
            "this torch was built without torch.distributed and trains in one process only; start "
            "it without torchrun"
        )
    if batch % found.size:
        numbers = [n for n in range(1, batch + 1) if batch % n == 0]
        raise UsageError(
            f"a batch of {batch} images cannot be split evenly over {found.size} processes; start "
            f"as many as divide it ({', '.join(map(str, numbers))})"
        )
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and found.local_rank >= gpus:
        raise UsageError(
            f"process {found.local_rank} of this machine has no GPU of its own, there are {gpus}; "
            f"start torchrun with --nproc-per-node {gpus}"
        )


def _join(found: Processes) -> None:
    on_gpu = found.device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(found.device)
    try:
        _open_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise HostError(
            f"process {found.rank} of {found.size} cannot meet the others at {place} "
            f"({_first_line(error)}); start them by torchrun, which chooses a free port"
        ) from error


def _is_of_group(error: BaseException) -> bool:
    """Whether the connection to the other processes failed; gloo has no exception of its own."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _lost(found: Processes, error: BaseException) -> HostError:
    return HostError(
        f"process {found.rank} of {found.size} lost the others ({_first_line(error)}); the one "
        "that failed first says why"
    )


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    return error.exit_code if isinstance(error, OwsegError) else 1


def _end_at_once(code: int) -> None:
    """End without leaving the group, which takes all of it while the others wait in a step.

    torchrun sees the end of one process and ends the others.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _open_group(backend: str) -> None:
    from torch.distributed.distributed_c10d import PrefixStore

    store, rank, size = _meeting_point()
    # A name of its own for each run: the addresses that the last one left would lead astray.
    own = PrefixStore(f"run {next(_runs)}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=WAIT)


@cache
def _meeting_point() -> tuple[Any, int, int]:
    """Return where the processes leave their addresses, the rank of this one, and their number."""
    from torch.distributed.rendezvous import rendezvous  # a torch without processes lacks it

    found: tuple[Any, int, int] = next(rendezvous("env://", timeout=WAIT))
    return found


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but {name} is not set; start the processes "
            "by torchrun, or unset WORLD_SIZE for one process"
        )
    return value


def _number(name: str, least: int, most: int | None = None) -> int:
    text = _variable(name)
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        raise UsageError(
            f"{name} is '{text}', expected {limits}; start the processes by torchrun, which sets it"
        )
    return int(text)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
