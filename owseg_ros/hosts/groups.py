"""Handlers run in groups: one at a time within a group, at the same time in different ones."""

from __future__ import annotations

import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Generic, TypeVar

from owseg.errors import UsageError
from owseg_ros.hosts.log import Log

Job = Callable[[], None]
T = TypeVar("T")

_POLL_S = 0.2


class Group:
    """A queue of jobs that run one at a time, in the order in which they came.

    A job that raises is logged with its traceback and does not stop the group.

    Args:
        name: of its thread.
        log: where failures are reported.
    """

    def __init__(self, name: str, log: Log) -> None:
        self.name = name
        self._log = log
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._runner = 0

    def post(self, job: Job) -> None:
        """Append a job."""
        self._jobs.put(job)

    def start(self) -> None:
        """Run the jobs in a thread of their own until `stop`."""
        self._thread = threading.Thread(target=self._run_thread, name=self.name, daemon=True)
        self._thread.start()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run the jobs in the calling thread until `stopped` or `stop`."""
        self._runner = threading.get_ident()
        try:
            while not stopped():
                try:
                    job = self._jobs.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if job is None:
                    return
                self._do(job)
        finally:
            self._runner = 0

    def wake(self) -> None:
        """Make `run` look at its condition now."""
        self.post(_nothing)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop after the jobs that wait; wait for the thread if there is one."""
        self._jobs.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def call(self, job: Callable[[], T]) -> T:
        """Run a job in the group and wait for its result; here, if the group does not run."""
        if self.is_current or not self._runner:
            return job()
        future: Future[T] = Future()
        self.post(lambda: _fulfil(future, job))
        while True:
            try:
                return future.result(_POLL_S)
            except FutureTimeoutError:
                if future.done():
                    raise
                if not self._runner and future.cancel():
                    return job()

    @property
    def is_current(self) -> bool:
        """Whether the caller is a job of this group."""
        return self._runner == threading.get_ident()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the jobs posted so far are done.

        Returns:
            Whether they were done in time.

        Raises:
            UsageError: called from a job of this very group, which would wait for itself.
        """
        if self.is_current:
            raise UsageError(f"a handler of group '{self.name}' cannot wait for its own group")
        done = threading.Event()
        self.post(done.set)
        return done.wait(timeout_s)

    def _run_thread(self) -> None:
        self.run(lambda: False)

    def _do(self, job: Job) -> None:
        try:
            job()
        except Exception:
            self._log.error(f"a handler failed: {traceback.format_exc().rstrip()}")


def _fulfil(future: Future[T], job: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except BaseException as err:
        future.set_exception(err)


def _nothing() -> None:
    """Do nothing."""


class Mailbox(Generic[T]):
    """The newest items of a subscription, waiting for their handler.

    When it is full, the oldest item gives way: with depth 1 the latest frame wins.

    Args:
        depth: how many items wait; 0 = any number.
        group: runs the handler.
        handle: gets each item that was not replaced.
    """

    def __init__(self, depth: int, group: Group, handle: Callable[[T], None]) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._group = group
        self._handle = handle
        self._lock = threading.Lock()
        self._closed = False
        self.received = 0
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add an item; ask the group to handle it."""
        with self._lock:
            if self._closed:
                return
            self.received += 1
            replaces = bool(self._depth) and len(self._items) >= self._depth
            if replaces:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
        if not replaces:
            self._group.post(self._next)

    def close(self) -> None:
        """Forget what waits; take nothing more."""
        with self._lock:
            self._closed = True
            self._items.clear()

    def _next(self) -> None:
        with self._lock:
            if not self._items:
                return
            item = self._items.popleft()
        self._handle(item)
