"""Tells of peers whose QoS does not fit, the same on every host."""

from __future__ import annotations

import time
from collections.abc import Mapping

from owseg_ros.hosts.base import Endpoint, Graph, MismatchHandler, QosMismatch
from owseg_ros.hosts.diagnosis import mismatch_text
from owseg_ros.hosts.qos import QosProfile, Side, incompatible

_DISCOVERY_S = 0.2
"""How long the name of a peer may be missing."""

_LOOK_EVERY_S = 0.02


class MismatchReporter:
    """Tells once of each peer of a publisher or subscription that does not fit.

    Args:
        graph: of the host.
        topic: full name.
        side: which end is ours.
        qos: our profile.
        tell: gets the mismatches.
        policy_names: names of policies by the numbers that the middleware gives them.
    """

    def __init__(
        self,
        graph: Graph,
        topic: str,
        side: Side,
        qos: QosProfile,
        tell: MismatchHandler,
        policy_names: Mapping[int, str],
    ) -> None:
        self._graph, self._topic, self._qos, self._tell = graph, topic, qos, tell
        self._side: Side = side
        self._policy_names = policy_names
        self._told: set[Endpoint] = set()

    def report(self, policy: int) -> None:
        """Find the peers that do not fit, and tell of those that are new.

        Args:
            policy: number of the policy that the middleware complains of.
        """
        found = self._named_misfits()
        for peer, names in found.items():
            text = mismatch_text(self._topic, self._side, self._qos, peer)
            self._tell(QosMismatch(self._topic, self._side, names, peer, text))
        self._told.update(found)
        if not found and not self._told:
            name = self._policy_names.get(policy, f"number {policy}")
            text = f"a peer on {self._topic} does not fit: QoS policy {name}"
            self._tell(QosMismatch(self._topic, self._side, (name,), None, text))

    def _named_misfits(self) -> dict[Endpoint, tuple[str, ...]]:
        deadline = time.monotonic() + _DISCOVERY_S
        found = self._misfits()
        while not (found and all(peer.node for peer in found)) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
            found = self._misfits()
        return found

    def _misfits(self) -> dict[Endpoint, tuple[str, ...]]:
        offers = self._side == "publisher"
        look = self._graph.subscriptions if offers else self._graph.publishers
        found: dict[Endpoint, tuple[str, ...]] = {}
        for peer in look(self._topic):
            offered, requested = (self._qos, peer.qos) if offers else (peer.qos, self._qos)
            if peer not in self._told and (names := incompatible(offered, requested)):
                found[peer] = names
        return found
