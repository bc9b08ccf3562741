"""The thread that waits for DDS: it takes what arrives and passes it on, and never works."""

from __future__ import annotations

import ctypes
import threading
import traceback
from collections.abc import Callable
from typing import Protocol

from owseg_ros.hosts.log import Log
from owseg_ros.hosts.standalone import cyclone
from owseg_ros.hosts.standalone.cyclone import check, lib

_MOST = 64
"""How many entities one wait may report; the rest is reported by the next."""


class Source(Protocol):
    """An entity that the thread watches."""

    @property
    def handle(self) -> int:
        """Handle of the DDS entity."""
        ...

    @property
    def statuses(self) -> int:
        """Status bits to wake up for."""
        ...

    def ready(self, statuses: int) -> None:
        """Deal with these statuses quickly; must not block."""
        ...


class Intake:
    """Waits for all readers and writers of a participant in one thread.

    Args:
        participant: whose entities are watched.
        log: where failures are reported.
    """

    def __init__(self, participant: cyclone.DomainParticipant, log: Log) -> None:
        self._log = log
        self._waitset = check(lib.dds_create_waitset(participant._ref), "cannot make a waitset")
        self._guard = cyclone.GuardCondition(participant)
        self._sources: dict[int, Source] = {}
        self._fresh: list[Source] = []
        self._next_key = 1
        self._lock = threading.Lock()
        self._running = True
        self._attach(self._guard._ref, 0)
        self._thread = threading.Thread(target=self._run, name="dds-intake", daemon=True)
        self._thread.start()

    def add(self, source: Source, entity: cyclone.Entity) -> None:
        """Watch an entity; what is there already is reported at once."""
        entity.set_status_mask(source.statuses)
        with self._lock:
            key, self._next_key = self._next_key, self._next_key + 1
            self._sources[key] = source
        self._attach(source.handle, key)
        with self._lock:
            self._fresh.append(source)
            self._guard.set(True)

    def remove(self, source: Source) -> None:
        """Watch an entity no more."""
        with self._lock:
            keys = [key for key, known in self._sources.items() if known is source]
            for key in keys:
                del self._sources[key]
        if keys:
            lib.dds_waitset_detach(self._waitset, source.handle)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread."""
        with self._lock:
            self._running = False
            self._guard.set(True)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _attach(self, handle: int, key: int) -> None:
        check(lib.dds_waitset_attach(self._waitset, handle, key), "cannot watch a DDS entity")

    def _run(self) -> None:
        keys = (ctypes.c_ssize_t * _MOST)()
        while self._running:
            count = lib.dds_waitset_wait(self._waitset, keys, _MOST, cyclone.INFINITE_NS)
            if count < 0:
                self._log.error(f"waiting for DDS failed: {cyclone.DDSException(count)}")
                return
            ready = [self._sources.get(key) for key in keys[: min(count, _MOST)]]
            for source in ready:
                if source is not None:
                    self._serve(source)
            self._serve_new()

    def _serve_new(self) -> None:
        """Look at sources that were added: what came before may have raised no status."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
            if self._running:
                self._guard.set(False)
        for source in fresh:
            self._pass_on(source, source.statuses)

    def _serve(self, source: Source) -> None:
        statuses = ctypes.c_uint32()
        code = lib.dds_take_status(source.handle, ctypes.byref(statuses), source.statuses)
        if code < 0:  # deleted in the meantime
            return
        self._pass_on(source, statuses.value)

    def _pass_on(self, source: Source, statuses: int) -> None:
        try:
            source.ready(statuses)
        except Exception:
            if source not in self._sources.values():  # destroyed in the meantime
                return
            self._log.error(f"taking from DDS failed: {traceback.format_exc().rstrip()}")


Ready = Callable[[int], None]


class Watched:
    """A source made of its parts.

    Args:
        entity: the DDS entity.
        statuses: status bits to wake up for.
        ready: deals with them.
    """

    def __init__(self, entity: cyclone.Entity, statuses: int, ready: Ready) -> None:
        self.handle = entity._ref
        self.statuses = statuses
        self.ready = ready
