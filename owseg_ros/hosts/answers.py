"""What a service answers when its handler fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from owseg.errors import OwsegError
from owseg_ros.hosts.base import Message
from owseg_ros.hosts.log import Log


def answer(
    handler: Callable[[Message], Message], request: Message, blank: Message, name: str, log: Log
) -> Message:
    """Call a handler; turn what it raises into an answer.

    Args:
        handler: gets the request, returns the response.
        request: what was asked.
        blank: an empty response; it gets `success` false and the reason in `message`.
        name: of the service.
        log: gets the traceback of what is no `OwsegError`.
    """
    try:
        return handler(request)
    except OwsegError as err:
        reason = str(err)
    except Exception as err:
        log.error(f"service {name} failed: {traceback.format_exc().rstrip()}")
        reason = f"internal error: {err!r}"
    if hasattr(blank, "success"):
        blank.success = False
    if hasattr(blank, "message"):
        blank.message = reason
    return blank
