"""Results and drives for the tests of the report, and a strict reader of what it writes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from owseg.datasets.truth_map import Truth
from owseg.engines.fake import fake_manifest
from owseg.manifest import Manifest
from owseg.replay.report import ReportBuilder
from owseg.types import Frame, Result

VOID = {"meta", "img", "input", "br", "link", "hr"}
SECOND = 10**9
START = 1_700_000_000 * SECOND


def result(
    size: tuple[int, int] = (12, 16), unknown: float = 0.0, index: int = 0, stamp_ns: int = 0
) -> Result:
    """Make a result whose first pixels are unknown, in one cluster."""
    height, width = size
    open_set = np.zeros(height * width, np.uint8)
    open_set[: round(unknown * height * width)] = 255
    open_set = open_set.reshape(size)
    rng = np.random.default_rng(index)
    return Result(
        frame=Frame(
            image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            stamp_ns=stamp_ns,
            index=index,
        ),
        known=np.zeros(size, np.uint8),
        anomaly=(open_set / np.float32(255)).astype(np.float32),
        open_set=open_set,
        clusters=(open_set == 255).astype(np.uint16),
    )


def truth_of(shape: tuple[int, int]) -> Truth:
    known = np.zeros(shape, np.uint8)
    anomaly = np.zeros(shape, bool)
    anomaly[:2] = True
    known[:3] = 255
    valid = np.ones(shape, bool)
    valid[2] = False
    return Truth(known=known, anomaly=anomaly, valid=valid)


def write(builder: ReportBuilder, folder: Path, metrics: Any = None, **more: Any) -> Page:
    path = folder / "report.html"
    builder.write(path, {} if metrics is None else metrics, **more)
    return Page(path.read_text(encoding="utf-8"))


def drive(frames: int, manifest: Manifest | None = None, with_truth: bool = False) -> ReportBuilder:
    builder = ReportBuilder(manifest or fake_manifest(), "a drive", 0.5)
    for i in range(frames):
        made = result(unknown=i / max(1, frames), index=i, stamp_ns=START + i * SECOND // 10)
        truth = truth_of(made.known.shape) if with_truth else None
        builder.add(made, {"decode": 1.0, "inference": 20.0 + i % 3, "total": 22.0}, truth)
    return builder


class Page(HTMLParser):
    """A parsed report; refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.script = self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.script += data
        elif self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is read, seen or heard, with single spaces."""
        spoken = [a.get(k, "") for _, a in self.tags for k in ("alt", "aria-label", "title")]
        return re.sub(r"[ \n]+", " ", " ".join([*self.texts, *spoken]))

    def count(self, tag: str, css: str = "") -> int:
        """Count the elements, of all or of a CSS class."""
        return sum(t == tag and css in ("", *a.get("class", "").split()) for t, a in self.tags)
