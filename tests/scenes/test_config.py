"""Configuration: good values pass, bad ones are refused with one line."""

from __future__ import annotations

import numpy as np
import pytest

from owseg.errors import UsageError
from owseg.scenes import SceneConfig, random_config, render_drive


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 10),
        ("height", 10_000),
        ("width", 100.5),
        ("focal", 0.0),
        ("focal", float("nan")),
        ("horizon", 1.2),
        ("speed", -1),
        ("lighting", "moonlight"),
        ("style", "castle"),
        ("traffic_side", "middle"),
        ("strange", ("unicorn",)),
        ("strange_per_100m", "many"),
        ("cars", True),
        ("effects", 9),
    ],
)
def test_bad_values_are_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        SceneConfig(**{field: value})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert (
        field in str(caught.value)
        or repr(value) in str(caught.value)
        or "unicorn" in str(caught.value)
    )


def test_random_config_is_reproducible_and_takes_overrides() -> None:
    a = random_config(np.random.default_rng(1), 160, 120, lighting="dusk")
    b = random_config(np.random.default_rng(1), 160, 120, lighting="dusk")
    assert a == b
    assert (a.width, a.height, a.lighting) == (160, 120, "dusk")
    assert a.seed != random_config(np.random.default_rng(2)).seed


def test_random_config_stays_within_the_ranges() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        random_config(rng)


def test_unknown_override_is_refused() -> None:
    with pytest.raises(UsageError, match="weather"):
        random_config(np.random.default_rng(0), weather="rain")


@pytest.mark.parametrize(("frames", "fps"), [(0, 10), (5, 0), (5, -3)])
def test_bad_drives_are_refused_before_the_first_frame(frames: int, fps: float) -> None:
    with pytest.raises(UsageError):
        render_drive(SceneConfig(), frames, fps)
