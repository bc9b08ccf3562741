"""Networks are recipes, benchmarks are data that can be read, and papers are copied rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from owseg.cli import main
from owseg.datasets import READERS
from owseg_export.tables.benchmarks import BENCHMARKS, Data, get_benchmark
from owseg_export.tables.gather import known_scores
from owseg_export.tables.networks import ENSEMBLE, NETWORKS, SMALL, recipe_of, scores_of
from owseg_export.tables.papers import TABLES, UNKNOWN_2, PaperTable
from owseg_training import loop
from owseg_training.config import Recipe
from owseg_training.recipes import get_recipe

PAPER_TABLES = [table for table in TABLES.values() if isinstance(table, PaperTable)]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_on_camvid_is_what_owseg_train_trains(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Recipe] = []

    def train(recipe: Recipe, root: Path, out: Path, *, resume: bool) -> Path:
        asked.append(recipe)
        return out / loop.CHECKPOINT

    monkeypatch.setattr(loop, "train", train)
    network, coco = NETWORKS[name], tmp_path / "COCO"
    argv = [
        "train",
        network.named[SMALL],
        "--truth-map",
        "camvid_c",
        "--seed",
        "7",
        "--root",
        "CamVid",
    ]
    argv += ["--outliers", str(coco)] if network.outliers else []
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert asked == [recipe_of(get_benchmark("camvid_c"), name, 7, outliers=coco)]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_elsewhere_differs_in_data_size_and_scenes_alone(name: str) -> None:
    small = get_recipe(NETWORKS[name].named[SMALL])
    made = NETWORKS[name].variant(get_recipe("camvid_goss_small"))
    expected = replace(small, name=made.name, data=replace(small.data, scenes=0.0))
    assert made == expected
    found = recipe_of(BENCHMARKS["lost_and_found"], name, 4)
    assert (found.data.dataset, found.data.truth_map, found.seed) == ("bdd100k", "cityscapes", 4)
    assert found.network.backbone == "pspnet50"
    assert found.network.head == small.network.head
    own = NETWORKS[name].named.get("bdd100k_pspnet50")
    assert found.name == (own or f"bdd100k_pspnet50 {name}")


def test_a_network_with_a_name_is_the_recipe_of_that_name_everywhere() -> None:
    for benchmark in BENCHMARKS.values():
        source = benchmark.source
        for name, network in NETWORKS.items():
            if source.recipe in network.named:
                recipe = get_recipe(network.named[source.recipe])
                found = recipe_of(benchmark, name, 0)
                data = replace(recipe.data, truth_map=source.train.truth_map)
                assert found == replace(recipe, data=data)
                assert (recipe.network.head == "metric") == ("eds" in scores_of(name))


def weights(name: str) -> tuple[float, float, float]:
    loss = get_recipe(NETWORKS[name].named[SMALL]).loss
    return loss.dce, loss.variance, loss.outlier


def test_the_losses_of_table_3_are_left_out_one_by_one() -> None:
    assert weights("metric") == (1.0, 0.01, 0.0)
    assert weights("metric_dce") == (1.0, 0.0, 0.0)
    assert weights("metric_vl") == (0.0, 1.0, 0.0)
    assert weights("open") == (1.0, 0.01, 0.05)
    assert weights("open_softmax")[2] == 0.0


def data_of(benchmark: Any) -> list[Data]:
    found = (benchmark.source.train, benchmark.test, benchmark.closed, benchmark.meta)
    return [data for data in found if data is not None]


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=lambda b: b.name)
def test_a_benchmark_names_splits_that_can_be_read(benchmark: Any) -> None:
    for data in data_of(benchmark):
        splits = {part.name for part in READERS[data.dataset].splits if part.labelled}
        assert data.split in splits
        assert data.truth.labels
    assert benchmark.test.truth.held_out
    train, test = benchmark.source.train, benchmark.test
    assert (train.dataset, train.split) != (test.dataset, test.split)
    assert benchmark.meta is None or (benchmark.meta.dataset, benchmark.meta.split) != (
        test.dataset,
        test.split,
    )


@pytest.mark.parametrize("table", PAPER_TABLES, ids=lambda t: t.name)
def test_rows_of_a_paper_can_be_made_and_have_its_figures(table: PaperTable) -> None:
    for row in table.rows:
        if row.network:
            assert row.score in scores_of(row.network)
            assert row.score in known_scores()
        else:
            assert row.printed
        for name, figures in row.printed.items():
            assert name in table.benchmarks
            assert all(0 < value < 100 for value in figures.values())
    assert set(table.benchmarks) <= set(BENCHMARKS)


def test_counts_of_segments_fit_their_f1() -> None:
    """From false, missed and F1 follows the number of true objects; it is the same in all rows."""
    totals = []
    for sides in UNKNOWN_2.printed.values():
        for false, missed, f1, _ in sides.values():
            found = f1 * (false + missed) / (2 * (1 - f1))
            totals.append(found + missed)
    assert max(totals) / min(totals) < 1.05  # F1 has two digits
    assert min(totals) > max(
        missed for s in UNKNOWN_2.printed.values() for _, missed, *_ in s.values()
    )


def test_every_network_supports_what_its_head_can() -> None:
    def has(network: str, score: str) -> bool:
        return score in scores_of(network)

    metric = {name for name in NETWORKS if has(name, "eds")}
    assert metric == {"metric", "metric_dce", "metric_vl", "open"}
    assert {name for name in NETWORKS if has(name, "n_plus_1")} == {"n_plus_1", "negatives"}
    assert {name for name in NETWORKS if has(name, "mc_dropout")} == {"dropout"}
    assert all(has(name, "odin") and has(name, "density") for name in NETWORKS)
    assert scores_of(ENSEMBLE) == (ENSEMBLE,)
