"""Which DDS domain to join and how to find others, as the environment of ROS 2 says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

from owseg.errors import UsageError

Range = Literal["SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT"]

RANGES: tuple[Range, ...] = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
MAX_DOMAIN = 232
MAX_PARTICIPANT_INDEX = 32
"""As `rmw_cyclonedds_cpp`: how many processes of one machine find each other."""

_LOOPBACK = (
    '<Interfaces><NetworkInterface autodetermine="true"/>'
    '<NetworkInterface address="127.0.0.1" presence_required="false"/></Interfaces>'
)
"""Current versions of Cyclone DDS ignore who calls over an interface that they do not use.
Nodes of `rmw_cyclonedds_cpp` call over this one, where they keep to the machine."""

RECEIVE_BUFFER = "8MB"
"""Largest socket buffer to ask for: an image of 1920x1080 arrives in thousands of datagrams.
The kernel grants net.core.rmem_max at most."""

LINGER = "100 ms"
"""How long a writer stays, once it was closed, for readers that did not confirm everything.
Readers confirm seldom, so that the default of 1 s makes a node slow to end."""


def domain_id(environment: Mapping[str, str] = os.environ) -> int:
    """Return the domain that ROS_DOMAIN_ID names, 0 by default.

    Raises:
        UsageError: it is no number in 0..232.
    """
    text = environment.get("ROS_DOMAIN_ID", "").strip() or "0"
    if not text.isdecimal() or int(text) > MAX_DOMAIN:
        raise UsageError(f"ROS_DOMAIN_ID must be a number in 0..{MAX_DOMAIN}, got '{text}'")
    return int(text)


def discovery_range(environment: Mapping[str, str] = os.environ) -> Range:
    """Return how far to look for others.

    ROS_LOCALHOST_ONLY=1 (deprecated in ROS 2) outranks ROS_AUTOMATIC_DISCOVERY_RANGE.

    Raises:
        UsageError: ROS_AUTOMATIC_DISCOVERY_RANGE has an unknown value.
    """
    if environment.get("ROS_LOCALHOST_ONLY", "0") == "1":
        return "LOCALHOST"
    text = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").strip().upper() or "SUBNET"
    for known in RANGES:
        if text == known:
            return known
    raise UsageError(
        f"ROS_AUTOMATIC_DISCOVERY_RANGE must be one of {', '.join(RANGES)}, got '{text}'"
    )


def static_peers(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the addresses in ROS_STATIC_PEERS."""
    addresses = environment.get("ROS_STATIC_PEERS", "").split(";")
    return [address.strip() for address in addresses if address.strip()]


def configuration(environment: Mapping[str, str] = os.environ) -> str:
    """Return the configuration of Cyclone DDS: ours, then that of CYCLONEDDS_URI.

    Discovery is set up as by `rmw_cyclonedds_cpp`; otherwise the two would not find each
    other. What CYCLONEDDS_URI says comes last and so outranks the rest.

    Raises:
        UsageError: a variable has a value that makes no sense.
    """
    reach = discovery_range(environment)
    multicast = "<AllowMulticast>false</AllowMulticast>" if reach in ("LOCALHOST", "OFF") else ""
    loopback = _LOOPBACK if reach == "LOCALHOST" and not _names_interfaces(environment) else ""
    ours = (
        f"<CycloneDDS><Domain><General>{multicast}{loopback}</General>"
        f"{_discovery(reach, environment)}"
        f'<Internal><SocketReceiveBufferSize max="{RECEIVE_BUFFER}"/>'
        f"<WriterLingerDuration>{LINGER}</WriterLingerDuration></Internal>"
        "</Domain></CycloneDDS>"
    )
    return f"{ours},{environment.get('CYCLONEDDS_URI', '')}"


def _names_interfaces(environment: Mapping[str, str]) -> bool:
    """Whether CYCLONEDDS_URI chooses network interfaces; it accepts no second choice."""
    for part in environment.get("CYCLONEDDS_URI", "").split(","):
        text, path = part.strip(), Path(unquote(part.strip().removeprefix("file://")))
        if not text.startswith("<"):
            with contextlib.suppress(OSError, ValueError):
                text = path.read_text(encoding="utf-8")
        if "Interface" in text:
            return True
    return False


def _discovery(reach: Range, environment: Mapping[str, str]) -> str:
    if reach == "SYSTEM_DEFAULT":
        return ""
    if reach == "OFF":
        return (
            "<Discovery><ParticipantIndex>none</ParticipantIndex>"
            f"<Tag>ros_discovery_off_{os.getpid()}</Tag></Discovery>"
        )
    addresses = [*(["localhost"] if reach == "LOCALHOST" else []), *static_peers(environment)]
    peers = "".join(f"<Peer address={quoteattr(address)}/>" for address in addresses)
    return (
        "<Discovery><ParticipantIndex>auto</ParticipantIndex>"
        f"<MaxAutoParticipantIndex>{MAX_PARTICIPANT_INDEX}</MaxAutoParticipantIndex>"
        + (f"<Peers>{peers}</Peers>" if peers else "")
        + "</Discovery>"
    )
