"""Options that all nodes share: what is said of parameters and their files."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from owseg_ros.commands.options import tell_of_files
from owseg_ros.hosts.parameter_files import fits
from owseg_ros.hosts.unused import warn_of_unused


class Log:
    """Keeps what is said."""

    def __init__(self):
        self.infos, self.warnings = [], []

    def info(self, text):
        self.infos.append(text)

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def host():
    parameters = SimpleNamespace(unused=lambda: ["z", "lazzy"])
    return SimpleNamespace(full_name="/r1/perception", log=Log(), parameters=parameters)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/**", True),
        ("/**/perception", True),
        ("/*/perception", True),
        ("/r1/perception", True),
        ("/r1/*", True),
        ("/perception", False),
        ("/*", False),
        ("/r1/perception/x", False),
        ("/r1/percep.ion", False),
    ],
)
def test_which_sections_are_for_a_node(pattern, expected):
    assert fits(pattern, "/r1/perception") is expected


def test_a_file_of_another_node_is_told(host, tmp_path):
    texts = {
        "other": "prototype_server: {ros__parameters: {store: a, model: b}}",
        "both": "/**/prototype_server: {ros__parameters: {store: a}}\n"
        "/**/perception: {ros__parameters: {lazy: true}}",
        "wild": "/**: {ros__parameters: {lazy: true}}",
        "empty": "",
    }
    files = {name: tmp_path / f"{name}.yaml" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    tell_of_files(list(files.values()), host)
    assert host.log.infos == [
        f"nothing in {files['other']} is for /r1/perception; it is for /prototype_server"
    ]


def test_parameters_that_nothing_has_are_named_once(host):
    assert warn_of_unused(host) == {"z", "lazzy"}
    assert host.log.warnings == [
        "there is no parameter 'lazzy'; its value is not used",
        "there is no parameter 'z'; its value is not used",
    ]
    assert warn_of_unused(host, {"z", "lazzy"}) == set()
    assert warn_of_unused(host, {"z"}) == {"lazzy"}
    assert len(host.log.warnings) == 3
