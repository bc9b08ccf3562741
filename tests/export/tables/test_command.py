"""`owseg table` end to end on tiny images, continued, redrawn, and with bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from owseg.cli import main
from owseg.datasets import load_truth_map, open_dataset
from owseg_export.tables import runner
from owseg_export.tables.measure import forms_of
from owseg_export.tables.networks import scores_of
from owseg_export.trained import load_trained
from owseg_training import loop
from owseg_training.experiments import runs
from owseg_training.recipes import RECIPES

from .conftest import NETWORKS, RECIPE, SEEDS, table, two_steps

FIGURES = ("pooled auroc", "pooled aupr", "pooled fpr95", "per_image auroc", "per_image aupr")


def results(out: Path, name: str = "scores_camvid_a") -> dict[str, Any]:
    return dict(json.loads((out / "tables" / name / "results.json").read_text()))


def rows_of(out: Path, network: str, name: str = "scores_camvid_a") -> list[dict[str, Any]]:
    return [row for row in results(out, name)["rows"] if row["network"] == network]


def cell(out: Path, name: str, kind: str = "scores") -> Path:
    return out / "cells" / "camvid_a" / kind / f"{name}.json"


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is trained and measured."""
    notes: list[str] = []
    real_train, real_measure = loop.train, runner.measure

    def train(recipe: Any, *args: Any, **options: Any) -> Path:
        notes.append(f"train {recipe.name.split()[-1]} {recipe.seed}")
        return real_train(recipe, *args, **options)

    def measure(scores: Any, frames: Any) -> Any:
        notes.append(f"measure {frames.title.split(':')[0]}")
        return real_measure(scores, frames)

    monkeypatch.setattr(runs.loop, "train", train)
    monkeypatch.setattr(runner, "measure", measure)
    return notes


# What comes out ---------------------------------------------------------------------------------


def test_every_network_is_trained_once_for_a_seed_and_measured(done: Path) -> None:
    single = [name for name in NETWORKS if name != "ensemble"]
    models = {path.name for path in (done / "models" / "camvid_a").iterdir()}
    assert models == {f"{name}-{seed}" for name in single for seed in SEEDS}
    cells = {path.stem for path in (done / "cells" / "camvid_a" / "scores").iterdir()}
    assert cells == models | {"ensemble-0-3"}
    for network in NETWORKS:
        scores = [(row["score"], row["form"]) for row in rows_of(done, network)]
        assert scores == [(s, f) for s in scores_of(network) for f in forms_of(s)]
    assert forms_of("msp") == forms_of("n_plus_1") == ("raw",)
    assert forms_of("eds") == forms_of("ensemble") == ("constant", "paper")
    assert {"eds", "mmsp", "mixture"} <= set(scores_of("metric"))
    assert "n_plus_1" in scores_of("n_plus_1")
    assert "mc_dropout" in scores_of("dropout")
    assert "eds" not in scores_of("softmax")


def test_figures_equal_an_independent_computation(done: Path, camvid_tree: Path) -> None:
    """The largest logit of the softmax networks against scikit-learn, the classes by counting."""
    truth_map = load_truth_map("camvid_a")
    names = truth_map.known_names
    found: dict[str, list[float]] = {name: [] for name in (*FIGURES, "miou")}
    for seed in SEEDS:
        path = done / "models" / "camvid_a" / f"softmax-{seed}" / "checkpoint.pt"
        trained = load_trained(path)
        scores, truths, best, known = [], [], [], []
        for sample in open_dataset("camvid", camvid_tree, "val"):
            image, labels = sample.load()
            truth = truth_map.apply(labels, names)
            logits = trained.evidence(torch.from_numpy(image[None])).logits[0].numpy()
            scores.append(-logits.max(axis=0)[truth.valid])
            truths.append(truth.anomaly[truth.valid])
            best.append(logits.argmax(axis=0).ravel())
            known.append(truth.known.ravel())
        pooled = np.concatenate(truths), np.concatenate(scores)
        fpr, tpr, _ = roc_curve(*pooled, drop_intermediate=False)
        found["pooled fpr95"].append(fpr[np.argmax(tpr >= 0.95)])
        found["pooled auroc"].append(roc_auc_score(*pooled))
        found["pooled aupr"].append(average_precision_score(*pooled))
        pairs = [(t, s) for t, s in zip(truths, scores, strict=True) if t.any()]
        found["per_image auroc"].append(np.mean([roc_auc_score(t, s) for t, s in pairs]))
        found["per_image aupr"].append(np.mean([average_precision_score(t, s) for t, s in pairs]))
        found["miou"].append(mean_iou(np.concatenate(best), np.concatenate(known), len(names)))
    rows = rows_of(done, "softmax")
    row, paper = (
        next(r["figures"] for r in rows if (r["score"], r["form"]) == ("max_logit", form))
        for form in ("constant", "paper")
    )
    for name in (*FIGURES, "miou"):
        assert row[name]["runs"] == pytest.approx(found[name], abs=1e-3), name
        assert row[name]["mean"] == pytest.approx(np.mean(found[name]), abs=1e-3)
        assert row[name]["std"] == pytest.approx(np.std(found[name], ddof=1), abs=1e-3)
    # within an image both forms keep the order; between images only the constants do
    assert paper["per_image auroc"]["runs"] == pytest.approx(found["per_image auroc"], abs=1e-3)
    assert paper["pooled auroc"]["runs"] != pytest.approx(found["pooled auroc"], abs=1e-4)


def mean_iou(best: np.ndarray, known: np.ndarray, classes: int) -> float:
    best, known = best[known != 255], known[known != 255]
    ious = [
        np.sum((best == c) & (known == c)) / np.sum((best == c) | (known == c))
        for c in range(classes)
        if (known == c).any()
    ]
    return float(np.mean(ious))


def test_an_ensemble_is_one_row_of_all_seeds(done: Path) -> None:
    rows = rows_of(done, "ensemble")
    assert [row["seeds"] for row in rows] == [list(SEEDS)] * 2
    for row in rows:
        assert len(row["figures"]["pooled auroc"]["runs"]) == 1
        assert row["figures"]["pooled auroc"]["std"] is None
        assert row["figures"]["miou"]["mean"] is None


def test_the_text_has_every_row_its_commands_and_what_is_unknown(done: Path) -> None:
    text = (done / "tables" / "scores_camvid_a" / "table.md").read_text()
    assert "Unknown: car." in text
    assert "Trained on camvid train, measured on camvid val" in text
    for network in NETWORKS:
        assert text.count(f"| {network} | ") == len(rows_of(done, network))
        line = f"--recipe {RECIPE} --networks {network} --seeds SEED"
        assert text.count(line) == 1
    assert "Not run" not in text
    assert "paper" not in text.split("Networks, and")[0].split("|---")[0]


def test_the_picture_shows_every_network(done: Path) -> None:
    picture = cv2.imread(str(done / "tables" / "scores_camvid_a" / "table.png"))
    assert picture.shape[0] > 300
    assert len(np.unique(picture[::5, ::5].reshape(-1, 3), axis=0)) > 100


# Continued and redrawn --------------------------------------------------------------------------


def test_finished_runs_are_not_run_again(
    out: Path, again: Callable[..., int], worked: list[str]
) -> None:
    before = (out / "tables" / "scores_camvid_a" / "results.json").read_text()
    assert again("scores", out, "--networks", *NETWORKS) == 0
    assert worked == []
    assert (out / "tables" / "scores_camvid_a" / "results.json").read_text() == before


def test_what_is_missing_is_made_again_and_is_the_same(
    out: Path, again: Callable[..., int], worked: list[str]
) -> None:
    def figures(name: str) -> Any:
        return json.loads(cell(out, name).read_text())["figures"] | {"time": None}

    names = ("metric-3", "softmax-0", "ensemble-0-3")
    before = {name: figures(name) for name in names}
    for name in names:
        cell(out, name).unlink()
    shutil.rmtree(out / "models" / "camvid_a" / "metric-3")
    assert again("scores", out, "--networks", *NETWORKS) == 0
    wanted = ["measure softmax-0", "train metric 3", "measure metric-3", "measure ensemble-0-3"]
    assert worked == wanted
    assert {name: figures(name) for name in names} == before


def test_a_stopped_run_leaves_whole_cells_and_goes_on(
    camvid_tree: Path,
    again: Callable[..., int],
    tmp_path: Path,
    worked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, options = runner.measure, ("--networks", "softmax", "n_plus_1", "--seeds", 3)

    def die(scores: Any, frames: Any) -> Any:
        if "n_plus_1" in frames.title:
            raise KeyboardInterrupt
        return real(scores, frames)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "measure", die)
        assert again("scores", tmp_path, *options) == 130
    assert [path.name for path in cell(tmp_path, "x").parent.iterdir()] == ["softmax-3.json"]
    worked.clear()
    assert again("scores", tmp_path, *options, "--scores", "msp", "n_plus_1") == 0
    assert worked == ["measure n_plus_1-3"]
    found = [(row["network"], row["score"]) for row in results(tmp_path)["rows"]]
    assert found == [("softmax", "msp"), ("n_plus_1", "msp"), ("n_plus_1", "n_plus_1")]


def test_stored_runs_are_redrawn_without_data_and_what_is_missing_is_named(
    out: Path, worked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cell(out, "metric-3").unlink()
    into = tmp_path / "docs.md"
    argv = ("dmlnet_1", "--on", "camvid_a", "--out", out, "--recipe", RECIPE, "--seeds", *SEEDS)
    assert table(*argv, "--stored", "--into", into) == 0
    assert worked == []
    text = capsys.readouterr().out
    assert "| DML | metric | eds | constants | 1 |" in text
    assert "| MSP | softmax | msp | as it is | 2 |" in text
    assert "| training of the shipped model, EDS | open | eds | constants | not run |" in text
    assert "| SynthCP | not built here | – | – | – |" in text
    command = "--root camvid=DIR --out {} --networks {} --seeds {} --recipe two_steps"
    for network, seed in (("metric", 3), ("open", 0), ("open", 3)):
        wanted = f"not run: {network}-{seed} on camvid_a: owseg table dmlnet_1 --on camvid_a "
        assert wanted + command.format(out, network, seed) in text
    assert text.count("not run: ") == 3
    assert "- open, seed 0 3: no stored run" in text
    assert into.read_text().startswith("<!-- owseg table dmlnet_1_camvid_a -->")


def test_figures_of_the_paper_stand_beside_ours_and_say_where_they_are_from(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("dmlnet_1", "--on", "camvid_a", "--out", out, "--recipe", RECIPE, "--seeds", 0)
    assert table(*argv, "--stored") == 0
    text = capsys.readouterr().out
    assert '**Columns "paper" are the paper\'s figures for StreetHazards: other data' in text
    assert "| paper, StreetHazards: AUPR | paper, StreetHazards: AUROC |" in text
    line = next(line for line in text.splitlines() if line.startswith("| MaxLogit"))
    assert line.endswith("| 10.6 | 89.3 | 26.5 | 53.2 |")
    row = next(r for r in rows_of(out, "metric", "dmlnet_1_camvid_a") if r["score"] == "eds")
    assert row["printed"]["street_hazards"]["aupr"] == 14.7
    assert row["figures"]["pooled aupr"]["mean"] == pytest.approx(
        json.loads(cell(out, "metric-0").read_text())["figures"]["scores"]["eds"][row["form"]][
            "pooled"
        ]["aupr"]
    )


def test_networks_that_are_trained_are_measured_and_others_left(
    out: Path, again: Callable[..., int], worked: list[str]
) -> None:
    cell(out, "dropout-0").unlink()
    shutil.rmtree(out / "models" / "camvid_a" / "dropout-3")
    cell(out, "dropout-3").unlink()
    options = ("--networks", "dropout", "entropy", "--no-train")
    assert again("scores", out, *options) == 0
    assert worked == ["measure dropout-0"]
    missing = {(m["network"], *m["seeds"]): m["why"] for m in results(out)["missing"]}
    assert missing == dict.fromkeys(
        (("entropy", 0), ("entropy", 3), ("dropout", 3)), "it is not trained"
    )


def test_a_network_that_needs_outliers_says_so(
    again: Callable[..., int], tmp_path: Path, worked: list[str]
) -> None:
    assert again("scores", tmp_path, "--networks", "entropy") == 0
    assert worked == []
    why = "it is trained with images of COCO; add --root coco=DIR"
    assert [m["why"] for m in results(tmp_path)["missing"]] == [why, why]


def test_a_checkpoint_of_owseg_train_is_used_as_it_is(
    camvid_tree: Path, tmp_path: Path, worked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "camvid_goss_small"
    monkeypatch.setitem(RECIPES, name, lambda: replace(two_steps(), name=name))
    folder = tmp_path / "models" / "camvid_c" / "softmax-5"
    argv = ["train", name, "--truth-map", "camvid_c", "--seed", 5, "--root", camvid_tree]
    assert main([*map(str, argv), "--out", str(folder)]) == 0
    worked.clear()
    options = ("--on", "camvid_c", "--root", camvid_tree, "--out", tmp_path, "--seeds", 5)
    assert table("dmlnet_1", *options, "--networks", "softmax") == 0
    assert worked == ["measure softmax-5"]
    text = (tmp_path / "tables" / "dmlnet_1_camvid_c" / "table.md").read_text()
    assert f"owseg train {name} --truth-map camvid_c --seed SEED --root DIR" in text
    assert "--out RUNS/models/camvid_c/softmax-SEED" in text


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("table_9",), "no table 'table_9'; there are dmlnet_1, dmlnet_2, dmlnet_3, unknown_1"),
        (("scores", "--on", "camvid_z"), "no benchmark 'camvid_z'; there are camvid_a, camvid_b"),
        (("scores", "--on", "camvid_a", "camvid_a"), "--on names a benchmark twice"),
        (("scores", "--scores", "guess"), "no score 'guess'; there are msp, max_logit"),
        (("scores", "--networks", "huge"), "no network 'huge'; there are softmax, metric"),
        (("scores", "--scores", "eds", "--networks", "softmax"), "none of these networks"),
        (("scores", "--seeds", "1", "1"), "--seeds names a value twice: 1 1"),
        (("scores", "--recipe", "none"), "no recipe 'none'"),
        (("scores", "--recipe", "camvid_open"), "'camvid_open' shows strange objects"),
        (("dmlnet_1", "--scores", "eds"), "--scores is for the table scores"),
        (("dmlnet_1",), "the folder of street_hazards is not given; add --root street_hazards=DIR"),
        (("dmlnet_1", "--on", "camvid_a", "--networks", "negatives"), "none of these networks"),
        (("dmlnet_2", "--root", "somewhere"), "say which data set somewhere is: --root DATASET="),
        (("scores", "--root", "camvit=CamVid"), "no data set 'camvit'; there are bdd100k"),
        (("scores", "--root", "camvid=a", "camvid=b"), "names the folder of camvid twice"),
        (("scores", "--root", "nowhere"), "nowhere"),
        (("scores", "--stored", "--no-train"), "not allowed with argument"),
        (("unknown_2", "--on", "street_hazards"), "no images to fit a meta classifier on"),
        (("scores", "--out", "{tmp}/file"), "{tmp}/file"),
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
    given = [option.replace("{tmp}", str(tmp_path)) for option in options]
    given += [] if "--root" in given else ["--root", f"camvid={camvid_tree}"]
    given += [] if "--out" in given else ["--out", str(tmp_path / "out")]
    given += [] if "--networks" in given else ["--networks", "softmax"]
    assert table(*given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message.replace("{tmp}", str(tmp_path)) in captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: '{"schema"', "is not a readable result"),
        (lambda raw: json.dumps(raw | {"seeds": [0]}), "of something else than its name says"),
        (lambda raw: json.dumps(raw | {"schema": 0}), "of something else than its name says"),
        (lambda raw: json.dumps(raw | {"figures": {"scores": {}}}), "is not a readable result"),
        (
            lambda raw: json.dumps(raw | {"recipe": raw["recipe"] | {"seed": 9}}),
            "was made with another recipe than 'two_steps metric' is now",
        ),
    ],
)
@pytest.mark.parametrize("stored", [(), ("--stored",)])
def test_a_damaged_result_is_found_before_anything_is_run(
    stored: tuple[str, ...],
    damage: Callable[[Any], str],
    message: str,
    out: Path,
    again: Callable[..., int],
    worked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = cell(out, "metric-3")
    path.write_text(damage(json.loads(path.read_text())))
    cell(out, "softmax-0").unlink()
    assert again("scores", out, "--networks", *NETWORKS, *stored) == 2
    err = capsys.readouterr().err
    assert message in err
    assert f"{path}" in err
    assert "remove it, and it is made again" in err
    assert worked == []


def test_cells_of_other_images_and_networks_of_another_recipe_are_refused(
    out: Path,
    camvid_tree: Path,
    again: Callable[..., int],
    tmp_path: Path,
    worked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = Path(shutil.copytree(camvid_tree, tmp_path / "Other"))
    names = (other / "splits" / "val.txt").read_text().split()
    (other / "splits" / "val.txt").write_text("\n".join(names[:-1]))
    argv = ("scores", "--out", out, "--recipe", RECIPE, "--seeds", 0, "--networks", "softmax")
    assert table(*argv, "--root", other) == 2
    assert "was made on other images" in capsys.readouterr().err
    folder = out / "models" / "camvid_a"
    cell(out, "softmax-0").unlink()
    shutil.rmtree(folder / "softmax-0")
    (folder / "metric-0").rename(folder / "softmax-0")
    assert again("scores", out, "--networks", "softmax") == 2
    assert "was trained by another recipe than 'two_steps softmax'" in capsys.readouterr().err
    assert worked == []


def test_help_has_an_example_and_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from owseg.cli import main\n"
        "try:\n    main(['table', '--help'])\nexcept SystemExit as stop:\n    sys.exit(stop.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "owseg table dmlnet_1 --on camvid_a --root CamVid" in done.stdout
