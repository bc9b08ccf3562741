"""The process on the network: one DDS participant, and what all its nodes share."""

from __future__ import annotations

import os

from owseg.errors import HostError, UsageError
from owseg_ros.hosts.log import Log
from owseg_ros.hosts.standalone import cyclone, domain, raw_topics
from owseg_ros.hosts.standalone.graph import GraphMonitor
from owseg_ros.hosts.standalone.intake import Intake
from owseg_ros.hosts.standalone.interfaces import Interfaces
from owseg_ros.hosts.standalone.raw_topics import RawTopics
from owseg_ros.hosts.standalone.typed_topics import TypedTopics
from owseg_ros.hosts.standalone.wire import Topics

WIRE_VARIABLE = "OWSEG_DDS_WIRE"
"""Environment variable that forces one way of moving samples: "raw" or "typed"."""

_domains: dict[int, str] = {}
"""Domains of this process and their configuration. They are never left: a message that
somebody still holds refers to memory of its domain."""


class Network:
    """Joins the domain of the environment.

    Args:
        log: where failures are reported.
        enclave: security enclave to announce.

    Raises:
        HostError: DDS cannot start.
        UsageError: an environment variable has a value that makes no sense.
    """

    def __init__(self, log: Log, enclave: str = "/") -> None:
        number = domain.domain_id()
        _join(number, domain.configuration())
        qos = cyclone.Qos(cyclone.Policy.Userdata(f"enclave={enclave};".encode()))
        try:
            self.participant = cyclone.DomainParticipant(number, qos)
        except cyclone.DDSException as err:
            raise HostError(
                f"cannot join ROS domain {number}: {err}; at most "
                f"{domain.MAX_PARTICIPANT_INDEX + 1} processes fit on one machine, and a "
                "network interface must be up"
            ) from err
        self._closed = False
        self.domain_id = number
        self.interfaces = Interfaces()
        self.topics = _choose_topics(self.participant, self.interfaces)
        self.intake = Intake(self.participant, log)
        with_graph = (self.participant, self.topics, self.interfaces, self.intake)
        self.graph = GraphMonitor(*with_graph)
        log.debug(f"ROS domain {number}, {self.topics.name} samples, {self.interfaces.distro}")

    def close(self) -> None:
        """Leave the domain: everybody learns at once that this process is gone."""
        if self._closed:
            return
        self._closed = True
        self.intake.stop()
        cyclone.delete(self.participant)


def _join(number: int, configuration: str) -> None:
    if number in _domains:
        return
    code = cyclone.lib.dds_create_domain(number, configuration.encode())
    if code < 0:
        raise HostError(
            f"Cyclone DDS does not accept its configuration ({cyclone.DDSException(code)}); "
            "check CYCLONEDDS_URI"
        )
    _domains[number] = configuration


def _choose_topics(participant: cyclone.DomainParticipant, interfaces: Interfaces) -> Topics:
    wish = os.environ.get(WIRE_VARIABLE, "").lower()
    if wish not in ("", "raw", "typed"):
        raise UsageError(f"{WIRE_VARIABLE} must be raw or typed, got '{wish}'")
    if wish != "typed" and raw_topics.works(participant):
        return RawTopics(participant)
    if wish == "raw":
        raise HostError(
            f"raw samples need cyclonedds {cyclone.RAW_VERSION} on Linux; "
            f"unset {WIRE_VARIABLE} to go without"
        )
    return TypedTopics(participant, interfaces)
