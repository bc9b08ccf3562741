"""What a node has made and must destroy at its end."""

from __future__ import annotations

import threading
from typing import Protocol, TypeVar


class Belonging(Protocol):
    """Something that is destroyed once."""

    @property
    def destroyed(self) -> bool:
        """Whether it was destroyed."""
        ...

    def destroy(self) -> None:
        """Leave the network; a second time changes nothing."""
        ...


T = TypeVar("T", bound=Belonging)


class Belongings:
    """Keeps things alive until they are destroyed. Safe to use from several threads."""

    def __init__(self) -> None:
        self._items: list[Belonging] = []
        self._lock = threading.Lock()

    def add(self, item: T) -> T:
        """Keep an item; forget those that were destroyed meanwhile."""
        with self._lock:
            self._items = [*(kept for kept in self._items if not kept.destroyed), item]
        return item

    def destroy(self) -> None:
        """Destroy everything, the latest first."""
        with self._lock:
            items, self._items = self._items, []
        for item in reversed(items):
            item.destroy()
