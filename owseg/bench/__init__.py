"""How fast a model runs: every engine and precision in one run, stage by stage."""

from __future__ import annotations

from owseg.bench.contestants import Contestant, Skipped, open_contestants
from owseg.bench.measure import Figures, measure
from owseg.bench.peers import PEERS, Peers, load_peers

__all__ = [
    "PEERS",
    "Contestant",
    "Figures",
    "Peers",
    "Skipped",
    "load_peers",
    "measure",
    "open_contestants",
]
