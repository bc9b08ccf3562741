"""BDD-Anomaly: the labelled images of BDD100K, divided by whether they show three rare classes.

The layout is that of BDD100K (see `owseg.datasets.bdd100k`); the label maps of the benchmark's own
repository are read too:

    ROOT/seg/images/{train,val}/ID.jpg    ROOT/seg/train_labels/{train,val}/ID_train_id.png

where 1 = void and 2..20 = the 19 classes. train and val hold the images of BDD100K's train and val
without train, motorcycle and bicycle; test holds all images with one of them. Which is which is
seen in the label maps, so that opening a split reads all of them (about a minute).

6280, 910 and 810 images: counted in the label maps of the repository. An earlier form of the
benchmark left the bicycle among the known classes (6688, 951, 361); it is not offered.

For research use; see the licence of BDD100K.

Source: D. Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML
2022; create_bdd_dataset.py and issue 17 of github.com/hendrycks/anomaly-seg.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from owseg.datasets.base import Sample
from owseg.datasets.bdd100k import Bdd100k
from owseg.datasets.folder import Pairing
from owseg.datasets.label_spaces import CITYSCAPES19
from owseg.datasets.layout import Split

ANOMALIES = ("train", "motorcycle", "bicycle")


class BddAnomaly(Bdd100k):
    """Paired images and label maps of one split; see `FolderDataset`."""

    name = "bdd_anomaly"
    title = "BDD-Anomaly"
    splits = (
        Split(name="train", published=6280),
        Split(name="val", published=910),
        Split(name="test", folder="train", published=810),
    )

    @classmethod
    def missing(cls, root: Path, split: str) -> str:
        """Name the first thing that a split lacks; "" where all folders are there."""
        return next(filter(None, (Bdd100k.missing(root, part) for part in _parts(split))), "")

    @classmethod
    def pairing(cls, root: Path, split: str) -> Pairing:
        """Find the files of a split; the label maps are read.

        Raises:
            DatasetError: a label map cannot be read.
        """
        parts = [Bdd100k.pairing(root, part) for part in _parts(split)]
        wanted = split == "test"
        chosen = [
            sample for part in parts for sample in part.samples if shows_anomaly(sample) is wanted
        ]
        unlabelled = tuple(pair for part in parts for pair in part.unlabelled)
        return Pairing(
            samples=tuple(chosen),
            unlabelled=unlabelled,
            orphans=tuple(pair for part in parts for pair in part.orphans),
            images=len(chosen),
        )


def _parts(split: str) -> tuple[str, ...]:
    """Return the splits of BDD100K that a split is drawn from."""
    return ("train", "val") if split == "test" else (split,)


def shows_anomaly(sample: Sample) -> bool:
    """Say whether a label map has one of the three classes."""
    counts = np.bincount(sample.load_labels().ravel(), minlength=256)
    return any(counts[CITYSCAPES19.id_of(name)] for name in ANOMALIES)
