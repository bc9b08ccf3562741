"""What is trained on, and where it is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from owseg.datasets import READERS, DatasetReader, TruthMap, load_truth_map, open_dataset
from owseg.errors import UsageError

Roots = Mapping[str, Path]
"""Folders of data sets by the name of their reader."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """A split of a data set.

    Attributes:
        dataset: name of a reader in `owseg.datasets.READERS`.
        split: split of it.
        truth_map: meaning of its labels.
    """

    dataset: str
    split: str
    truth_map: str

    @property
    def title(self) -> str:
        """Data set and split."""
        return f"{self.dataset} {self.split}"

    @property
    def truth(self) -> TruthMap:
        """The truth map."""
        return load_truth_map(self.truth_map)

    def open(self, roots: Roots) -> DatasetReader:
        """Open the split.

        Raises:
            UsageError: its folder is not given.
            DatasetError: the folder is not that data set.
        """
        if self.dataset not in roots:
            raise UsageError(
                f"the folder of {self.dataset} is not given; add --root {self.dataset}=DIR"
            )
        return open_dataset(self.dataset, roots[self.dataset], self.split)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What networks are trained on; benchmarks with the same source share their networks.

    Attributes:
        name: of the folder of its networks.
        train: the data.
        recipe: recipe whose variants the networks are.
    """

    name: str
    train: Data
    recipe: str


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Where networks are measured.

    Attributes:
        name: as on the command line.
        title: as in the papers.
        source: what the networks are trained on.
        test: where anomalies are measured.
        size: (height, width) of the images, pixels; None = as the recipe has it.
        closed: where known classes are measured; None = with the anomalies, if labelled there.
        meta: images with anomalies to fit a meta classifier on, none of them in `test`.
    """

    name: str
    title: str
    source: Source
    test: Data
    size: tuple[int, int] | None = None
    closed: Data | None = None
    meta: Data | None = None

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets whose folders are needed, each once."""
        every = (self.source.train, self.test, self.closed, self.meta)
        return tuple(dict.fromkeys(data.dataset for data in every if data is not None))


CITYSCAPES = Source(
    name="cityscapes",
    train=Data(dataset="cityscapes", split="train", truth_map="cityscapes"),
    recipe="cityscapes_wrn38",
)
BDD100K = Source(
    name="bdd100k",
    train=Data(dataset="bdd100k", split="train", truth_map="cityscapes"),
    recipe="bdd100k_pspnet50",
)
STREET_HAZARDS = Source(
    name="street_hazards",
    train=Data(dataset="street_hazards", split="train", truth_map="street_hazards"),
    recipe="streethazards_pspnet50",
)
_CITYSCAPES_VAL = Data(dataset="cityscapes", split="val", truth_map="cityscapes")


def _camvid(name: str, title: str) -> Benchmark:
    train, val = (Data(dataset="camvid", split=part, truth_map=name) for part in ("train", "val"))
    source = Source(name=name, train=train, recipe="camvid_goss_small")
    return Benchmark(name=name, title=title, source=source, test=val, meta=train)


def _anomalies(dataset: str, split: str = "test") -> Data:
    return Data(dataset=dataset, split=split, truth_map="anomaly")


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        _camvid("camvid_a", "CamVid A"),
        _camvid("camvid_b", "CamVid B"),
        _camvid("camvid_c", "CamVid C"),
        Benchmark(
            name="street_hazards",
            title="StreetHazards",
            source=STREET_HAZARDS,
            test=Data(dataset="street_hazards", split="test", truth_map="street_hazards"),
        ),
        Benchmark(
            name="lost_and_found",
            title="Lost and Found",
            source=BDD100K,
            test=_anomalies("lost_and_found"),
            size=(450, 900),
            closed=Data(dataset="bdd100k", split="val", truth_map="cityscapes"),
            meta=_anomalies("lost_and_found", "train"),
        ),
        Benchmark(
            name="road_anomaly",
            title="Road Anomaly",
            source=BDD100K,
            test=_anomalies("road_anomaly"),
            closed=Data(dataset="bdd100k", split="val", truth_map="cityscapes"),
        ),
        Benchmark(
            name="lost_and_found_no_known",
            title="LostAndFoundNoKnown",
            source=CITYSCAPES,
            test=_anomalies("lost_and_found", "test_noknown"),
            closed=_CITYSCAPES_VAL,
            meta=_anomalies("lost_and_found", "train"),
        ),
        Benchmark(
            name="road_obstacle21",
            title="RoadObstacle21",
            source=CITYSCAPES,
            test=_anomalies("road_obstacle21", "val"),
            size=(1080, 1920),
            closed=_CITYSCAPES_VAL,
        ),
    )
}
"""Benchmarks by name. Those of CamVid can be trained and run on a CPU."""


def get_benchmark(name: str) -> Benchmark:
    """Return the benchmark of a name.

    Raises:
        UsageError: no benchmark has this name.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"no benchmark '{name}'; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def parse_roots(texts: Sequence[str], benchmarks: Sequence[Benchmark]) -> dict[str, Path]:
    """Return the folders of data sets by name.

    Args:
        texts: each DATASET=DIR, or DIR where the benchmarks need but one data set.
        benchmarks: what is run.

    Raises:
        UsageError: no data set has this name, or it is not said which one a folder is.
    """
    needed = tuple(dict.fromkeys(name for each in benchmarks for name in each.datasets))
    roots: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or "/" in name:
            if len(needed) > 1:
                raise UsageError(
                    f"say which data set {text} is: --root DATASET={text}, one of "
                    f"{', '.join(needed)}"
                )
            name, folder = needed[0], text
        if name not in READERS:
            raise UsageError(f"no data set '{name}'; there are {', '.join(READERS)}")
        if name in roots:
            raise UsageError(f"--root names the folder of {name} twice")
        roots[name] = Path(folder)
    return roots
