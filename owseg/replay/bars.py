"""Bars that a run must clear, such as `anomaly.auroc>=0.9`."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from owseg.errors import UsageError

_OPERATORS = {">=": operator.ge, "<=": operator.le}
_PATTERN = re.compile(r"^\s*(\S.*?)\s*(>=|<=)\s*([-+\d.eE]+)\s*$")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One condition on metrics.json.

    Attributes:
        key: dotted path, e.g. "anomaly.auroc".
        relation: ">=" or "<=".
        value: the bar.
    """

    key: str
    relation: str
    value: float


def parse_bar(text: str) -> Bar:
    """Read a bar such as `anomaly.fpr95<=0.4`.

    Raises:
        UsageError: not of that form.
    """
    match = _PATTERN.match(text)
    try:
        if match:
            return Bar(key=match[1], relation=match[2], value=float(match[3]))
    except ValueError:
        pass
    raise UsageError(f"cannot read the bar '{text}'; write it like anomaly.auroc>=0.9")


def missed_bars(bars: Sequence[Bar], metrics: Mapping[str, Any]) -> list[str]:
    """Return one line for each bar that is missed; a figure without a value misses its bar.

    Raises:
        UsageError: a bar names a key that the metrics do not have.
    """
    lines = []
    for bar in bars:
        found = _lookup(metrics, bar.key)
        if found is None or not _OPERATORS[bar.relation](found, bar.value):
            shown = "undefined" if found is None else f"{found:.4g}"
            lines.append(f"missed: {bar.key} is {shown}, wanted {bar.relation} {bar.value:g}")
    return lines


def _lookup(metrics: Mapping[str, Any], key: str) -> float | None:
    node: Any = metrics
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise UsageError(f"the metrics have no '{key}'; see metrics.json for what there is")
        node = node[part]
    if node is not None and not isinstance(node, (int, float)):
        raise UsageError(f"'{key}' is not a single figure; see metrics.json for what there is")
    return node
