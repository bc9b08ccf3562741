"""Calls of services that wait for the response, the same on every host."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from owseg.errors import HostError
from owseg_ros.hosts.base import Message


class BlockingCalls(ABC):
    """What clients of all hosts share; see `base.Client`.

    A request is sent once: whether a server that died had already done what it was asked,
    nobody knows. Only a request that could not leave is tried again.
    """

    name: str

    @abstractmethod
    def wait(self, timeout_s: float) -> bool:
        """Wait until a server is there."""

    @abstractmethod
    def send(self, request: Message, deadline_s: float) -> Future[Message]:
        """Send a request, at the latest at a time of `time.monotonic`."""

    @abstractmethod
    def hint(self) -> str:
        """Say what to do where no server answers."""

    def call(self, request: Message, timeout_s: float = 5.0) -> Message:
        """Call and wait; see `Client.call`."""
        deadline_s = time.monotonic() + timeout_s
        if not self.wait(timeout_s):
            raise HostError(f"nobody offers service {self.name}; {self.hint()}")
        future = self.send(request, deadline_s)
        try:
            return future.result(max(0.0, deadline_s - time.monotonic()))
        except FutureTimeoutError:
            future.cancel()
            raise HostError(
                f"service {self.name} did not answer within {timeout_s:g} s; {self.hint()}"
            ) from None
        except CancelledError:
            raise HostError(f"the call of {self.name} was given up: its node ends") from None
