"""A part of a text file that is written by a command, between two markers."""

from __future__ import annotations

from pathlib import Path

from owseg.errors import InputError


def insert(text: str, path: Path, name: str) -> str:
    """Return the text of a file with a part between two markers replaced, or added at its end.

    Args:
        text: the new part.
        path: the file; one that is not there is empty.
        name: of the part, in the markers.

    Raises:
        InputError: the file cannot be read, or the second marker is missing.
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    part = f"{start}\n\n{text.strip()}\n\n{end}"
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no text file that can be read ({error})") from error
    before, found, rest = old.partition(start)
    if not found:
        return (f"{old.rstrip()}\n\n" if old.strip() else "") + part + "\n"
    _, closed, after = rest.partition(end)
    if not closed:
        raise InputError(f"{path} has '{start}' but not '{end}'; add it where the part ends")
    return before + part + after
