"""What is closed at the end of a `with` statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Closing:
    """Base of things that hold something open until `close`."""

    def close(self) -> None:
        """Let go of what is held; by default nothing."""

    def __enter__(self) -> Self:
        """Return the thing itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()
