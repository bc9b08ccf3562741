"""The user's folders and paths with a tilde, with a home directory and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from owseg.cli import main
from owseg.errors import OutputError, UsageError
from owseg.places import expanded, user_folder


def cache(**environment):
    return user_folder("XDG_CACHE_HOME", ".cache", "--cache", environment)


def test_the_variable_counts_if_it_is_absolute_and_home_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache(XDG_CACHE_HOME="/x") == Path("/x")
    assert cache(XDG_CACHE_HOME="x") == cache(XDG_CACHE_HOME="") == cache() == tmp_path / ".cache"


def test_without_a_home_directory_the_variable_is_enough(homeless):
    assert cache(XDG_CACHE_HOME="/x") == Path("/x")


def test_without_a_home_directory_the_remedies_are_named(homeless):
    with pytest.raises(OutputError) as failure:
        cache()
    assert str(failure.value) == (
        "there is no home directory to take .cache of; set XDG_CACHE_HOME or HOME to a folder of "
        "yours, or choose a place with --cache"
    )


def test_a_tilde_is_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/m.onnx") == tmp_path / "m.onnx"
    assert expanded("a/~/m.onnx") == Path("a/~/m.onnx")


@pytest.mark.parametrize("path", ["~", "~/m.onnx", "~nobody_of_this_name/m.onnx"])
def test_a_tilde_without_a_home_directory(homeless, path):
    with pytest.raises(UsageError, match=rf"^'{path}' begins with ~, .* whole path, or set HOME$"):
        expanded(path)
    assert expanded("/m.onnx") == Path("/m.onnx")


def test_a_build_says_it_in_one_line(homeless, capsys, tiny_bundle):
    assert main(["build", str(tiny_bundle)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("owseg: there is no home directory to take .cache of; set XDG_CACHE_")
