"""Methods that tell unknown pixels, the networks they need, and the thresholds they are used at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from owseg_training.config import Recipe
from owseg_training.recipes import goss

SUPER_BPD, DFC = "super_bpd", "dfc"
"""Groupings."""

NETWORKS: dict[str, Callable[[Recipe], Recipe]] = {
    "softmax": goss.softmax,
    "metric": goss.metric,
    "n_plus_1": goss.n_plus_1,
    "gst": goss.gst,
    "strange": lambda recipe: goss.strange(goss.gst(recipe)),
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
    "gst_n": Method(title="GST (N-model + CL)", network="contrast", score="msp", printed="msp"),
}
"""Methods by name, in the order of the tables."""

ABLATIONS = ("separate", "dfc")
"""What else can be compared: two networks instead of one (Table 5), and the grouping of
differentiable feature clustering (Table 6); both with the methods of the softmax network."""

ABLATED = ("msp", "max_logit")
"""Methods of the ablations."""

RULES = {
    "half": "score as printed above 0.5",
    "fpr_5": "5 % of the known training pixels are unknown",
    "fpr_1": "1 % of the known training pixels are unknown",
}
"""Thresholds by name, and what they mean."""

FITTED = {"fpr_5": 0.05, "fpr_1": 0.01}
"""Share of known training pixels above the thresholds that are fitted."""


def methods_of(network: str) -> tuple[str, ...]:
    """Return the methods that are evaluated on a network."""
    if network == "separate":
        return ABLATED
    return tuple(name for name, method in METHODS.items() if method.network == network)
