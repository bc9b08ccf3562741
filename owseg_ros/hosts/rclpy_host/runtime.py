"""The process of the rclpy host: opens nodes, runs their handlers, ends on signals."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping, Sequence
from itertools import pairwise

from owseg.errors import HostError, UsageError
from owseg_ros.hosts.log import Log, to_console
from owseg_ros.hosts.names import normalize_namespace
from owseg_ros.hosts.parameters import Value
from owseg_ros.hosts.process import Process
from owseg_ros.hosts.rclpy_host import ros
from owseg_ros.hosts.rclpy_host.node import RclpyHost
from owseg_ros.hosts.ros_args import RosArgs, parse_ros_args, split

_THREADS = 16
"""How many callbacks may wait for their group at once; an idle thread costs nothing."""

_POLL_S = 0.5
_NAMESPACE = "__ns:="


class RclpyRuntime(Process):
    """One process; see `base.Runtime`.

    Args:
        argv: arguments of the program, without its name.

    Raises:
        UsageError: a bad argument.
        HostError: rclpy does not accept the arguments or cannot start.
    """

    kind = "rclpy"

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self._log = Log(self._write)
        super().__init__(self._log)
        self._context = ros.Context()
        arguments = _normalized(argv)
        try:
            ros.rclpy.init(
                args=arguments,
                context=self._context,
                signal_handler_options=ros.SignalHandlerOptions.NO,
            )
        except Exception as err:
            parse_ros_args(arguments)  # says in fewer words what is wrong, where it knows it
            reason = str(err).split(", at /")[0]
            raise HostError(f"rclpy does not start: {reason}") from err
        self.rest = split(arguments)[0]
        self._args = _understood(arguments)
        self._executor = ros.MultiThreadedExecutor(_THREADS, context=self._context)
        self._nodes: list[RclpyHost] = []
        self._taken_down = False
        self._taker = threading.Thread(target=self._take, name="rclpy", daemon=True)
        self._taker.start()

    def node(
        self,
        name: str,
        *,
        namespace: str = "",
        managed: bool = False,
        parameters: Mapping[str, Value] | None = None,
    ) -> RclpyHost:
        """Open a node; see `Runtime.node`."""
        host = RclpyHost(
            self._executor,
            self._context,
            self._main,
            self._args,
            name,
            namespace=namespace,
            managed=managed,
            parameters=parameters or {},
        )
        self._nodes.append(host)
        return host

    def _take(self) -> None:
        while not self._taken_down and self._context.ok():
            try:
                self._executor.spin_once(timeout_sec=_POLL_S)
            except ros.ExternalShutdownException:
                return
            except ros.InvalidHandle:  # destroyed while rclpy was about to wait for it
                continue
            except Exception:
                self._log.error(f"rclpy failed: {traceback.format_exc().rstrip()}")

    def _close(self) -> None:
        for host in reversed(self._nodes):
            host.destroy()
        self._taken_down = True
        self._executor.wake()
        self._taker.join(5.0)
        self._executor.shutdown(timeout_sec=1.0)
        ros.rclpy.shutdown(context=self._context)

    @staticmethod
    def _write(level: str, text: str) -> None:
        to_console(f"[{level}] [owseg_ros]: {text}")


def _normalized(argv: Sequence[str]) -> list[str]:
    """Write namespaces as rclpy takes them: with a slash before, without one behind.

    Raises:
        UsageError: one that is not valid.
    """
    words = list(argv)
    for number, (before, word) in enumerate(pairwise(argv), start=1):
        if before in ("-r", "--remap") and word.startswith(_NAMESPACE):
            words[number] = _NAMESPACE + normalize_namespace(word[len(_NAMESPACE) :])
    return words


def _understood(argv: Sequence[str]) -> RosArgs:
    """Read the arguments beside rclpy, which does not tell what they say of parameters."""
    try:
        return parse_ros_args(argv)
    except UsageError:  # rclpy has accepted them: a newer ROS 2 knows more than we do
        return RosArgs()
