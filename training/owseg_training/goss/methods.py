"""Methods that tell unknown pixels, the networks they need, and the thresholds they are used at."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from owseg_training.config import Recipe
from owseg_training.recipes import goss
from owseg_training.recipes.negatives import strange_objects, with_scenes

SUPER_BPD, COMPONENTS, DFC = "super_bpd", "components", "dfc"
"""Groupings."""

NETWORKS: dict[str, Callable[[Recipe], Recipe]] = {
    "softmax": goss.softmax,
    "metric": goss.metric,
    "n_plus_1": goss.n_plus_1,
    "gst": goss.gst,
    "strange": lambda recipe: goss.strange(goss.gst(recipe)),
    "open": lambda recipe: goss.contrastive(strange_objects(with_scenes(recipe))),
    "contrast": lambda recipe: goss.contrastive(goss.softmax(recipe)),
    "separate": lambda recipe: goss.separate(goss.softmax(recipe)),
}
"""Networks by name: recipe of the comparison -> recipe of the network."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """How unknown pixels are told from the output of a network.

    Attributes:
        title: in tables.
        network: name in `NETWORKS`.
        score: anomaly score; with fitted thresholds it has constants.
        printed: score as the papers print it, for the threshold 1/2.
        beta: confidence adjustment of "n_plus_1".
    """

    title: str
    network: str
    score: str
    printed: str
    beta: float = 1.0


METHODS = {
    "msp": Method(title="N-model + MSP", network="softmax", score="msp", printed="msp"),
    "max_logit": Method(
        title="N-model + MaxLogit", network="softmax", score="max_logit", printed="max_logit"
    ),
    "dml": Method(title="N-model + DML", network="metric", score="eds", printed="mixture"),
    "n_plus_1": Method(title="N+1-model", network="n_plus_1", score="n_plus_1", printed="n_plus_1"),
    "n_plus_1_ca": Method(
        title="N+1-model + CA",
        network="n_plus_1",
        score="n_plus_1",
        printed="n_plus_1",
        beta=goss.BETA,
    ),
    "gst": Method(
        title="GST (N+1-model + CA + CL)",
        network="gst",
        score="n_plus_1",
        printed="n_plus_1",
        beta=goss.BETA,
    ),
    "gst_strange": Method(
        title="GST + strange objects",
        network="strange",
        score="n_plus_1",
        printed="n_plus_1",
        beta=goss.BETA,
    ),
    "gst_open": Method(
        title="GST (prototypes + CL) + strange objects",
        network="open",
        score="eds",
        printed="mixture",
    ),
    "gst_n": Method(title="GST (N-model + CL)", network="contrast", score="msp", printed="msp"),
}
"""Methods by name, in the order of the tables."""

SEPARATE = "separate"
ABLATIONS = (SEPARATE, COMPONENTS, DFC)
"""What else can be compared: two networks instead of one (Table 5), and other groupings (Table 6):
connected components with all methods, differentiable feature clustering with `ABLATED`."""

ABLATED = ("msp", "max_logit")
"""Methods of the ablations with two networks, and by clustering."""

RULES = {
    "half": "score as printed above 0.5",
    "fpr_5": "5 % of the known training pixels are unknown",
    "fpr_1": "1 % of the known training pixels are unknown",
    "objects": "as 1 %, without objects so small that training images have more than 0.2 each",
}
"""Rules by name, and what is unknown by them."""

FITTED = {"fpr_5": 0.05, "fpr_1": 0.01}
"""Share of known training pixels above the thresholds that are fitted."""

OBJECTS = {"objects": "fpr_1"}
"""Rules that leave out small objects, by the rule of their threshold."""


class RowKey(NamedTuple):
    """A row of the tables: a method on a network, with a grouping."""

    method: str
    network: str
    grouping: str


def rows_of(chosen: Collection[str]) -> list[RowKey]:
    """Return the rows of a comparison.

    Args:
        chosen: names in `METHODS` and `ABLATIONS`.
    """
    needs = ABLATED if SEPARATE in chosen or DFC in chosen else ()
    names = [name for name in METHODS if name in chosen]
    names += [name for name in needs if name not in names]
    rows = [RowKey(name, METHODS[name].network, SUPER_BPD) for name in names]
    if SEPARATE in chosen:
        rows += [RowKey(name, SEPARATE, SUPER_BPD) for name in ABLATED]
    if COMPONENTS in chosen:
        rows += [RowKey(name, METHODS[name].network, COMPONENTS) for name in names]
    if DFC in chosen:
        rows += [RowKey(name, "softmax", DFC) for name in ABLATED]
    return rows


def methods_of(network: str) -> tuple[str, ...]:
    """Return the methods that are evaluated on a network."""
    if network == SEPARATE:
        return ABLATED
    return tuple(name for name, method in METHODS.items() if method.network == network)
