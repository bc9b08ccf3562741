"""`owseg goss` end to end on painted images, continued, and with bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from owseg.cli import main
from owseg_training import loop
from owseg_training.checkpoint import load_checkpoint
from owseg_training.experiments import runs
from owseg_training.goss import runner
from owseg_training.goss.methods import METHODS, NETWORKS, RULES

SEEDS = (0, 3)


def run(*argv: object) -> int:
    try:
        return main([str(a) for a in argv])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    """Give a copy of a finished comparison."""

    def copy(source: str, target: str) -> object:
        return os.link(source, target) if source.endswith(".pt") else shutil.copy(source, target)

    return Path(shutil.copytree(done, tmp_path / "copy", copy_function=copy))


@pytest.fixture
def again(camvid_tree: Path, recipe: str) -> Callable[..., int]:
    """Give a function that runs the command in a folder: (out, options)."""

    def call(out: Path, *options: object, protocol: str = "camvid_a", root: Any = None) -> int:
        argv = ["goss", protocol, "--root", root or camvid_tree, "--out", out, "--recipe", recipe]
        return run(*argv, "--dfc-steps", 2, "--seeds", *SEEDS, *options)

    return call


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is trained and evaluated."""
    notes: list[str] = []
    real_train, real_evaluate, real_cluster = loop.train, runner.evaluate, runner.cluster_image

    def train(recipe: Any, *args: Any, **options: Any) -> Path:
        notes.append(f"train {recipe.name.split()[1]} {recipe.seed}")
        return real_train(recipe, *args, **options)

    def evaluate(*args: Any) -> None:
        notes.append(f"evaluate {args[-1].split(':')[0]}")
        real_evaluate(*args)

    def cluster(*args: Any) -> np.ndarray:
        notes.append("cluster")
        return real_cluster(*args)

    monkeypatch.setattr(runs.loop, "train", train)
    monkeypatch.setattr(runner, "evaluate", evaluate)
    monkeypatch.setattr(runner, "cluster_image", cluster)
    return notes


def results(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "results.json").read_text()))


# What comes out ---------------------------------------------------------------------------------


def test_every_network_is_trained_once_for_a_seed_and_evaluated(done: Path) -> None:
    models = {path.name for path in (done / "models").iterdir()}
    assert models == {f"{name}_seed{seed}" for name in NETWORKS for seed in SEEDS}
    cells = {path.stem for path in (done / "cells").iterdir()}
    pairs = [(name, "super_bpd") for name in NETWORKS] + [("softmax", "dfc")]
    pairs += [(name, "components") for name in NETWORKS if name != "separate"]
    assert cells == {f"{name}_{group}_seed{seed}" for name, group in pairs for seed in SEEDS}
    assert len(list((done / "dfc").rglob("*.png"))) == 3
    checkpoint = load_checkpoint(done / "models" / "gst_seed3" / "checkpoint.pt")
    assert (checkpoint.recipe.seed, checkpoint.recipe.data.truth_map) == (3, "camvid_a")
    assert checkpoint.recipe.network.unknown
    assert checkpoint.recipe.loss.contrast == 0.01


def test_results_have_every_row_and_every_figure(done: Path) -> None:
    found = results(done)
    assert (found["protocol"], found["evaluated_on"], found["images"]) == (
        "camvid_a",
        "camvid val",
        3,
    )
    rows = {(r["rule"], r["method"], r["network"], r["grouping"]) for r in found["rows"]}
    main_rows = {(rule, m, METHODS[m].network, "super_bpd") for rule in RULES for m in METHODS}
    more = {
        (rule, m, network, grouping)
        for rule in RULES
        for m in ("msp", "max_logit")
        for network, grouping in (("separate", "super_bpd"), ("softmax", "dfc"))
    }
    components = {(*row[:3], "components") for row in main_rows}
    assert rows == main_rows | more | components
    whole = {"cluster_miou", "gq_cluster"}
    for row in found["rows"]:
        assert row["seeds"] == list(SEEDS)
        if row["grouping"] == "components":
            assert {row[key]["mean"] for key in whole} == {None}
        seen = set() if row["grouping"] == "components" else whole
        for key in {"auroc", "aupr", "fpr95", "miou", "gq_known"} | seen:
            assert 0 <= row[key]["mean"] <= 1, key
            assert len(row[key]["runs"]) == 2
            assert row[key]["mean"] == pytest.approx(np.mean(row[key]["runs"]))
        assert row["gq"]["mean"] == pytest.approx(
            (row["gq_known"]["mean"] + row["gq_unknown"]["mean"]) / 2
        )


def test_scores_of_one_network_share_what_is_not_about_them(done: Path) -> None:
    rows = {
        r["method"]: r
        for r in results(done)["rows"]
        if r["rule"] == "half" and r["grouping"] == "super_bpd" and r["network"] != "separate"
    }
    for a, b in (("msp", "max_logit"), ("n_plus_1", "n_plus_1_ca")):
        for key in ("miou", "gq_cluster", "cluster_miou"):
            assert rows[a][key] == rows[b][key]
    assert rows["n_plus_1"]["auroc"]["mean"] == pytest.approx(rows["n_plus_1_ca"]["auroc"]["mean"])
    assert rows["msp"]["auroc"] != rows["dml"]["auroc"] != rows["gst"]["auroc"]


def test_tables_have_the_layout_of_the_paper(done: Path) -> None:
    text = (done / "table.md").read_text()
    for title in ("Tables 3 and 4", "Table 5", "Table 6"):
        assert text.count(title) == 1
    line = next(line for line in text.splitlines() if line.startswith("| Identification"))
    for name in ("AUROC", "AUPR", "mIoU", "GQ_clu", "GQ_kn", "GQ_uk", "GQ", "GQ_clu*"):
        assert f"| {name} " in line
    assert "Unknown: car." in text
    assert "over 2 seeds" in text
    first = text.split("Threshold: ")[1]
    assert [r.split("|")[1].strip() for r in first.splitlines() if r.startswith("| N")] == [
        "N-model + MSP",
        "N-model + MaxLogit",
        "N-model + DML",
        "N+1-model",
        "N+1-model + CA",
    ]
    groups = text.split("Table 6")[1]
    assert groups.count("| single | components |") == len(METHODS) * len(RULES)
    separate = text.split("Table 5")[1].split("Table 6")[0]
    assert separate.count("| separate | super-BPD |") == 2 * len(RULES)
    assert text.split("Table 6")[1].count("| single | DFC |") == 2 * len(RULES)


def test_the_picture_has_bars_in_the_three_colours(done: Path) -> None:
    picture = cv2.imread(str(done / "table.png"))
    assert picture.shape[0] > 500
    red = np.array([0x3D, 0x55, 0xC8])  # of the unknown, BGR
    assert (np.abs(picture.astype(int) - red).sum(axis=2) < 6).sum() > 100


def test_chosen_methods_need_their_networks_only(
    again: Callable[..., int], tmp_path: Path, worked: list[str]
) -> None:
    assert again(tmp_path, "--methods", "max_logit", "--seeds", 1) == 0
    assert worked == ["train softmax 1", "evaluate softmax, seed 1"]
    assert {row["method"] for row in results(tmp_path)["rows"]} == {"max_logit"}
    assert "Table 5" not in (tmp_path / "table.md").read_text()


# Continued --------------------------------------------------------------------------------------


def test_a_finished_comparison_is_not_run_again(
    out: Path, again: Callable[..., int], worked: list[str]
) -> None:
    before = (out / "results.json").read_text()
    assert again(out) == 0
    assert worked == []
    assert (out / "results.json").read_text() == before


def test_what_is_missing_is_made_again_and_is_the_same(
    out: Path, again: Callable[..., int], worked: list[str]
) -> None:
    before = (out / "results.json").read_text()
    (out / "cells" / "metric_super_bpd_seed3.json").unlink()
    shutil.rmtree(out / "models" / "gst_seed0")
    (out / "cells" / "gst_super_bpd_seed0.json").unlink()
    (out / "cells" / "softmax_dfc_seed0.json").unlink()
    next((out / "dfc").rglob("*.png")).unlink()
    assert again(out) == 0
    assert worked == [
        "evaluate softmax, seed 0",
        "cluster",
        "train gst 0",
        "evaluate gst, seed 0",
        "evaluate metric, seed 3",
    ]
    assert (out / "results.json").read_text() == before


def test_thresholds_are_fitted_on_training_images(
    camvid_tree: Path,
    again: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(shutil.copytree(camvid_tree, tmp_path / "CamVid"))
    (root / "splits" / "train.txt").write_text("painted_0\npainted_1\n")
    (root / "splits" / "val.txt").write_text("painted_2\n")
    seen: list[str] = []
    real = runner.fit_scores

    def fit(network: Any, samples: Any, *rest: Any) -> Any:
        kept = list(samples)
        seen.extend(sample.name for sample in kept)
        return real(network, kept, *rest)

    monkeypatch.setattr(runner, "fit_scores", fit)
    monkeypatch.setattr(runner, "FIT_EVERY", 1)
    assert again(tmp_path / "out", "--methods", "msp", "--seeds", 0, root=root) == 0
    assert seen == ["painted_0", "painted_1"]
    assert results(tmp_path / "out")["images"] == 1


def test_a_killed_training_goes_on_where_it_was(
    again: Callable[..., int], done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--methods", "gst", "--seeds", 0)
    real = loop.save_checkpoint
    steps = []

    def die(checkpoint: Any, path: Path) -> None:
        real(checkpoint, path)
        steps.append(checkpoint.step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", die)
        assert again(tmp_path, *options) not in (0, 2)
    monkeypatch.setattr(loop, "save_checkpoint", lambda c, p: (steps.append(c.step), real(c, p)))
    assert again(tmp_path, *options) == 0
    assert steps == [1, 2]
    cell = "cells/gst_super_bpd_seed0.json"
    assert (tmp_path / cell).read_text() == (done / cell).read_text()


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("goss", "camvid_z"), "no protocol 'camvid_z'; there are camvid_a, camvid_b, "),
        (("goss", "camvid_a", "--methods", "eds"), "no method 'eds'; there are msp, max_logit"),
        (("goss", "camvid_a", "--seeds", "1", "1"), "--seeds names a value twice: 1 1"),
        (("goss", "camvid_a", "--seeds", "-1"), "number from 0 to 4294967295, got '-1'"),
        (("goss", "camvid_a", "--seeds", "4294967296"), "from 0 to 4294967295, got '4294967296'"),
        (("goss", "camvid_a", "--recipe", "huge"), "no recipe 'huge'"),
        (("goss", "cityscapes_16_3", "--recipe", "two_steps"), "trains on camvid, cityscapes_16_3"),
        (
            ("goss", "camvid_a", "--recipe", "camvid_goss_separate"),
            "its own for directions; choose",
        ),
        (("goss", "camvid_a", "--recipe", "camvid_goss_strange"), "shows strange objects; choose"),
        (("goss", "camvid_a", "--recipe", "camvid_open"), "shows strange objects; choose"),
        (("goss", "camvid_a", "--recipe", "no_direction"), "trains no directions; choose"),
        (("goss", "camvid_a", "--split", "train"), "trained on train; evaluate another --split"),
        (("goss", "camvid_a", "--split", "night"), "night"),
        (("goss", "camvid_a", "--root", "nowhere"), "nowhere"),
        (("goss", "camvid_a", "--dfc-steps", "0"), "at least 1, got '0'"),
        (("goss", "camvid_a", "--out", "{tmp}/file"), "{tmp}/file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: tuple[str, ...],
    message: str,
    camvid_tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("in the way")
    given = [o.replace("{tmp}", str(tmp_path)) for o in options]
    defaults = {"--root": str(camvid_tree), "--out": str(tmp_path / "out")}
    for name, value in defaults.items():
        given += [] if name in given else [name, value]
    assert run(*given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message.replace("{tmp}", str(tmp_path)) in captured.err
    assert not (tmp_path / "out" / "cells").exists()


def test_a_folder_is_not_shared_by_different_comparisons(
    out: Path, again: Callable[..., int], worked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert again(out, "--seeds", 9, protocol="camvid_b") == 2
    assert "holds results with another protocol and recipe" in capsys.readouterr().err
    assert again(out, "--seeds", 9, "--recipe", "camvid_goss_tiny") == 2
    assert "holds results with another recipe" in capsys.readouterr().err
    assert again(out, "--seeds", 9, "--dfc-steps", 3) == 2
    assert "holds results with another dfc" in capsys.readouterr().err
    assert worked == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: '{"schema"', "is not a readable result"),
        (lambda raw: json.dumps(raw | {"seed": 3}), "of something else than its name says"),
        (lambda raw: json.dumps(raw | {"schema": 0}), "of something else than its name says"),
        (lambda raw: json.dumps(raw | {"figures": {"methods": {}}}), "is not a readable result"),
    ],
)
def test_a_damaged_result_is_found_before_anything_is_run(
    damage: Callable[[Any], str],
    message: str,
    out: Path,
    again: Callable[..., int],
    worked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = out / "cells" / "metric_super_bpd_seed0.json"
    path.write_text(damage(json.loads(path.read_text())))
    assert again(out, "--seeds", 0, 9) == 2
    err = capsys.readouterr().err
    assert message in err
    assert f"{path}" in err
    assert "remove it, and it is made again" in err
    assert worked == []


def test_help_has_an_example_and_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from owseg.cli import main\n"
        "try:\n    main(['goss', '--help'])\nexcept SystemExit as stop:\n    sys.exit(stop.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "owseg goss camvid_a --root CamVid" in done.stdout


def test_a_comparison_in_several_processes_is_refused(
    camvid_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in {**ours, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run("goss", "camvid_a", "--root", camvid_tree, "--out", tmp_path / "out") == 2
    assert "owseg goss runs in one process, and torchrun started 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
