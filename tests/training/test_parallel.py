"""Several processes train what one does: gradients, weights, statistics, checkpoints, failures.

In float64: the norms of these narrow networks look at a few values, and blow the rounding errors of
float32 up to per cents, which would hide a wrong count.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest
import torch
from torch import Tensor

from owseg.cli import main
from owseg_training import loop
from owseg_training.checkpoint import Checkpoint, load_checkpoint
from owseg_training.config import (
    AugmentConfig,
    ContrastConfig,
    LossConfig,
    NetworkConfig,
    OptimConfig,
    Recipe,
)
from owseg_training.loop import train
from owseg_training.models import build_network
from owseg_training.parallel import Processes
from owseg_training.recipes.goss import contrastive, n_plus_1

Make = Callable[..., Recipe]
BATCH = 4
STEPS = {"metric": "outlier", "softmax": "contrast", "n_plus_1": "direction"}
"""Recipes of a step by name, and a term that each has."""
RUN = "run"
LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
ON_THE_CPU = {
    "GLOO_SOCKET_IFNAME": LOOPBACK,
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


def recipes(tiny: Make) -> dict[str, Recipe]:
    """Return recipes of one step, whose momentum is its gradient, and a run of three."""
    step = replace(
        tiny(steps=1, batch=BATCH, checkpoint_every=2),
        augment=AugmentConfig(crop=(64, 96), paste=0.6),
        network=NetworkConfig(width=8, size=(64, 96)),
        optim=OptimConfig(optimizer="sgd", lr=0.02, warmup=0, weight_decay=0, clip=1e6),
        loss=LossConfig(outlier=0.05),
    )
    joint = replace(step, network=replace(step.network, head="softmax", strategy="joint"))
    sampling = ContrastConfig(anchors=64, pool=256, negatives=16)
    summed = LossConfig(direction=1e-4, direction_sum=True, sampling=sampling)
    softmax = contrastive(replace(joint, loss=summed))
    return {
        "metric": step,
        "softmax": replace(softmax, loss=replace(softmax.loss, contrast=1.0)),
        "n_plus_1": n_plus_1(replace(joint, loss=LossConfig(direction=0.3))),
        RUN: replace(step, loop=replace(step.loop, steps=3), optim=replace(step.optim, clip=1.0)),
    }


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start two processes that talk over the loopback, on a port that the system chooses."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return subprocess.run(
        [sys.executable, *launcher, *arguments],
        env={**os.environ, **ON_THE_CPU},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


class Pair(NamedTuple):
    """What two processes left behind, and how they ended."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    def checkpoint(self, name: str) -> Checkpoint:
        return load_checkpoint(self.folder / name / "checkpoint.pt")


@pytest.fixture(scope="module")
def tree(camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set with more road and less void from image to image: no two weigh the same."""
    root = tmp_path_factory.mktemp("uneven") / "CamVid"
    shutil.copytree(camvid_tree, root)
    for i, path in enumerate(sorted((root / "labels").iterdir())):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        labels[: 8 * (2 * i + 1)] = 3
        cv2.imwrite(str(path), labels)
    return root


@pytest.fixture(scope="module")
def pair(tiny: Make, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    for name, recipe in recipes(tiny).items():
        (folder / f"{name}.json").write_text(json.dumps(recipe.to_dict()))
    worker = Path(__file__).with_name("parallel_worker.py")
    return Pair(folder, torchrun(str(worker), str(folder), str(tree)))


@pytest.fixture(autouse=True)
def float64_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(loop, "build_network", lambda *args: build_network(*args).double())


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], limit: float) -> None:
    """Compare by the length of the difference, each with its own and a little of the longest."""
    assert found.keys() == expected.keys()
    longest = max(float(value.double().norm()) for value in expected.values())
    for name, value in expected.items():
        error = float((found[name].double() - value.double()).norm())
        assert error <= limit * (float(value.double().norm()) + 1e-6 * longest), name


def gradients(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the momentum after one step of SGD, which is the gradient of that step."""
    state = checkpoint.optimizer["state"]
    return {str(key): value["momentum_buffer"] for key, value in state.items()}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_that_of_one_process(
    name: str, pair: Pair, tiny: Make, tree: Path, tmp_path: Path
) -> None:
    alone = load_checkpoint(train(recipes(tiny)[name], tree, tmp_path))
    together = pair.checkpoint(name)
    assert_close(gradients(together), gradients(alone), 1e-4)
    for term, values in alone.history.items():
        assert together.history[term] == pytest.approx(values, rel=1e-5), term
    assert alone.history[STEPS[name]][0] > 0


def test_a_run_ends_with_the_weights_and_statistics_of_one_process(
    pair: Pair, tiny: Make, tree: Path, tmp_path: Path
) -> None:
    alone = load_checkpoint(train(recipes(tiny)[RUN], tree, tmp_path))
    together = pair.checkpoint(RUN)
    assert together.recipe == alone.recipe
    assert together.step == alone.step == 3
    assert any("running_var" in name for name in alone.network)
    assert_close(together.network, alone.network, 1e-4)
    assert_close(together.average, alone.average, 1e-4)


def test_one_process_resumes_what_two_began(
    pair: Pair, tiny: Make, tree: Path, tmp_path: Path
) -> None:
    shutil.copy(pair.folder / RUN / "step_2.pt", tmp_path / "checkpoint.pt")
    resumed = load_checkpoint(train(recipes(tiny)[RUN], tree, tmp_path, resume=True))
    assert_close(resumed.network, pair.checkpoint(RUN).network, 1e-4)


def test_a_failure_in_one_process_ends_all(pair: Pair) -> None:
    assert pair.done.returncode != 0
    assert pair.done.stderr.count("owseg: an image is gone\n") == 1
    assert pair.done.stderr.count("Traceback") == 1  # that of torchrun
    cause = pair.done.stderr.partition("Root Cause")[2]
    assert "exitcode  : 2" in cause
    assert "rank      : 1" in cause
    assert "took the time to clean up" not in pair.done.stdout
    assert not (pair.folder / "damaged" / "curves.png").exists()


def test_the_command_in_two_processes(pair: Pair) -> None:
    checkpoint = pair.checkpoint("command")
    expected = build_network(checkpoint.recipe.network, len(checkpoint.class_names))
    assert checkpoint.step == 1
    assert checkpoint.network.keys() == expected.state_dict().keys()
    assert (pair.folder / "command" / "curves.png").is_file()
    assert pair.done.stdout.count("checkpoint ") == 1
    assert "Warning" not in pair.done.stderr


# The environment --------------------------------------------------------------------------------


def test_the_shares_of_a_step_are_its_draws_in_order() -> None:
    shares = [Processes(rank=rank, size=3).share(5, 6) for rank in range(3)]
    assert [draw for share in shares for draw in share] == list(range(30, 36))
    assert Processes().share(5, 6) == list(range(30, 36))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


WHOLE = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "{port}",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"WORLD_SIZE": "3"}, "a batch of 2 images cannot be split evenly over 3 processes; start"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many', expected 1 or more"),
        ({"RANK": "2"}, "RANK is '2', expected 0 to 1"),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK is '-1', expected 0 to 1"),
        ({"MASTER_ADDR": ""}, "WORLD_SIZE is 2 but MASTER_ADDR is not set"),
        ({"MASTER_PORT": ""}, "WORLD_SIZE is 2 but MASTER_PORT is not set"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT is '70000', expected 1 to 65535"),
        ({}, "process 0 of 2 cannot meet the others at 127.0.0.1:{port}"),
    ],
)
def test_an_unusable_environment_is_one_line_and_exit_code_2(
    change: dict[str, str],
    message: str,
    camvid_tree: Path,
    tmp_path: Path,
    taken_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**WHOLE, **change}.items():
        monkeypatch.setenv(name, value.format(port=taken_port))
    out = tmp_path / "out"
    argv = ["train", "camvid_tiny", "--root", str(camvid_tree), "--out", str(out)]
    assert main(argv) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("owseg: ")]
    assert len(lines) == 1
    assert message.format(port=taken_port) in lines[0]
    assert not out.exists()


def test_one_process_of_torchrun_trains_as_without_it(
    tiny: Make, camvid_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    train(tiny(steps=1), camvid_tree, tmp_path)
    assert not torch.distributed.is_initialized()
