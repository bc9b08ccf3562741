"""The process of the standalone host: opens nodes, runs their handlers, ends on signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from owseg_ros.hosts.groups import Group
from owseg_ros.hosts.log import DEFAULT_LEVEL, LEVELS, Log, to_console
from owseg_ros.hosts.parameters import Value
from owseg_ros.hosts.process import Process
from owseg_ros.hosts.ros_args import parse_ros_args
from owseg_ros.hosts.standalone.clock import TimerThread
from owseg_ros.hosts.standalone.network import Network
from owseg_ros.hosts.standalone.node import StandaloneHost


class StandaloneRuntime(Process):
    """One process; see `base.Runtime`.

    Args:
        argv: arguments of the program, without its name.

    Raises:
        UsageError: a bad argument or environment variable.
        HostError: DDS cannot start.
    """

    kind = "standalone"

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self._args = parse_ros_args(argv)
        self.rest = self._args.rest
        log = Log(self._write)
        super().__init__(log)
        self._network = Network(log, self._args.enclave)
        self._quick = Group("quick", log)
        self._quick.start()
        self._timers = TimerThread()
        self._nodes: list[StandaloneHost] = []

    @property
    def wire(self) -> str:
        """How samples get in and out of DDS: "raw" or "typed"."""
        return self._network.topics.name

    def node(
        self,
        name: str,
        *,
        namespace: str = "",
        managed: bool = False,
        parameters: Mapping[str, Value] | None = None,
    ) -> StandaloneHost:
        """Open a node; see `Runtime.node`."""
        host = StandaloneHost(
            self._network,
            self._timers,
            self._main,
            self._quick,
            self._args,
            name,
            namespace=namespace,
            managed=managed,
            parameters=parameters or {},
        )
        self._nodes.append(host)
        return host

    def _close(self) -> None:
        for host in reversed(self._nodes):
            host.destroy()
        self._timers.stop()
        self._quick.stop()
        self._network.close()

    def _write(self, level: str, text: str) -> None:
        least = LEVELS[self._args.log_level or DEFAULT_LEVEL]
        if LEVELS[level] >= least and self._args.console:
            to_console(f"[{level}] [owseg_ros]: {text}")
