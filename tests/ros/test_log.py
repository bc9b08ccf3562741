"""Log lines that nobody reads, and many that are said only now and then."""

from __future__ import annotations

import sys

import pytest

from owseg_ros.hosts.log import Log, to_console


class Gone:
    """Standard error behind `| head -1`."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_is_gone_does_not_stop_a_node(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    to_console("line")


def test_the_nodes_own_lines_survive_it_too(monkeypatch):
    pytest.importorskip("rosbags")
    from owseg_ros.hosts.standalone.interfaces import Interfaces
    from owseg_ros.hosts.standalone.rosout import LogSink

    sink = LogSink("node", "", True, Interfaces(), lambda: 0)
    monkeypatch.setattr(sys, "stderr", Gone())
    Log(sink).error("line")


def test_a_line_goes_to_standard_error(capfd):
    to_console("line")
    assert capfd.readouterr().err == "line\n"


def test_texts_without_end_do_not_stay_in_memory():
    now, said = [0.0], []
    log = Log(lambda _, text: said.append(text), lambda: now[0])
    for number in range(1000):
        now[0] += 1.0
        log.warning(f"{number} frames are late", every_s=5.0)
    assert len(said) == 1000
    assert len(log._quiet_until) <= 6
