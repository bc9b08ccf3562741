"""Parameters of the perception node: what they mean, which changes are refused and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from owseg.bundle import shipped_model
from owseg.engines import fake_manifest
from owseg.errors import BundleError, UsageError
from owseg_ros.hosts.parameters import ParameterStore, ParameterType
from owseg_ros.perception import parameters
from owseg_ros.perception.parameters import BY_POINT, FIXED, LIVE

MANIFEST = fake_manifest(24, 32)


@pytest.fixture
def store():
    """Give the parameters of a node that nobody gave any."""
    return store_with()


def store_with(**values):
    store = ParameterStore(values)
    for spec in parameters.table():
        store.declare(spec)
    return store


def test_every_parameter_is_described_and_says_when_it_takes_effect():
    specs = parameters.table()
    names = {spec.name for spec in specs}
    assert all(spec.description for spec in specs)
    assert names == LIVE | FIXED | {"autostart", "build_only"}
    assert not LIVE & FIXED
    for name in names:
        assert name in parameters.__doc__


def test_defaults(store):
    load = parameters.load_of(store.get)
    assert load.model == shipped_model()
    assert (load.engine, load.device, load.grouping) == ("onnxruntime", "auto", "components")
    assert load.fallback is True
    assert (load.score, load.meta, load.calibrated) == ("float32", None, False)
    assert (load.cameras, load.transport) == (("",), "raw")
    settings = parameters.settings_of(store.get, MANIFEST)
    assert settings.threshold == 0.5
    assert settings.opacity == 0.5
    assert settings.lazy is True
    assert settings.max_age_ms == 0
    assert settings.image_timeout_s == 5.0
    assert store.spec("cameras").type is ParameterType.STRING_ARRAY


def test_given_values(monkeypatch):
    monkeypatch.setenv("HOME", "/home/robot")
    store = store_with(
        model="~/street.onnx",
        cameras=("front", "rear"),
        image_transport="compressed",
        score_type="uint8",
        meta="~/meta.json",
        min_object=0.003,
        calibrated=True,
        anomaly_threshold=0.25,
        overlay_opacity=1.0,
        lazy=False,
        max_age_ms=300.0,
    )
    load = parameters.load_of(store.get)
    assert load.model == Path("/home/robot/street.onnx")
    assert (load.cameras, load.transport) == (("front", "rear"), "compressed")
    assert load.meta == Path("/home/robot/meta.json")
    assert (load.score, load.calibrated) == ("uint8", True)
    assert load.min_object == 0.003
    settings = parameters.settings_of(store.get, MANIFEST)
    assert (settings.threshold, settings.opacity) == (0.25, 1.0)
    assert (settings.lazy, settings.max_age_ms) == (False, 300.0)


def test_a_threshold_of_zero_is_a_threshold():
    assert parameters.settings_of(store_with(anomaly_threshold=0.0).get, MANIFEST).threshold == 0


@pytest.mark.parametrize("name", ["model", "meta"])
def test_a_tilde_without_a_home_directory_is_named(homeless, name):
    with pytest.raises(UsageError, match=r"'~/x' begins with ~, .* set HOME"):
        parameters.load_of(store_with(**{name: "~/x"}).get)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "")])
def test_cameras_need_names_of_their_own(names):
    with pytest.raises(UsageError, match="different names"):
        parameters.load_of(store_with(cameras=names).get)


def test_unusable_values_at_the_start():
    with pytest.raises(UsageError, match=r"in 0\.\.1, or -1 .* got -0\.5"):
        parameters.settings_of(store_with(anomaly_threshold=-0.5).get, MANIFEST)
    with pytest.raises(BundleError, match="no operating point 'best'; it has half"):
        parameters.settings_of(store_with(operating_point="best").get, MANIFEST)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anomaly_threshold", 1.01),
        ("anomaly_threshold", -1.01),
        ("anomaly_threshold", float("nan")),
        ("overlay_opacity", -0.1),
        ("overlay_opacity", 1.1),
        ("overlay_opacity", 1),
        ("max_age_ms", -1.0),
        ("image_timeout_s", 0.0),
        ("image_transport", "theora"),
        ("engine", "magic"),
        ("grouping", "magic"),
        ("score_type", "int4"),
        ("calibrated", "yes"),
        ("meta", 1),
        ("min_object", -0.1),
        ("min_object", 1.5),
        ("cameras", (1, 2)),
    ],
)
def test_values_out_of_range_are_refused_by_their_description(store, name, value):
    change = store.set({name: value})
    assert not change.ok
    assert change.reason.startswith(f"parameter '{name}'")


def refuse(store, fixed=True, **changes):
    manifest = MANIFEST if fixed else None
    return parameters.refuse(changes, store.get, manifest, fixed=fixed)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_is_loaded_does_not_change_while_it_runs(store, name):
    other = ("x",) if name == "cameras" else "other"
    reason = refuse(store, **{name: other})
    assert reason.startswith(f"parameter '{name}' is fixed while the node is configured")
    assert refuse(store, fixed=False, **{name: other}) is None
    assert refuse(store, **{name: store.get(name)}) is None


def test_live_values_may_change(store):
    changes = {"overlay_opacity": 0.1, "lazy": False, "max_age_ms": 5.0, "image_timeout_s": 1.0}
    assert refuse(store, anomaly_threshold=0.7, operating_point="half", **changes) is None
    assert refuse(store, anomaly_threshold=BY_POINT, operating_point="") is None


def test_live_values_are_checked(store):
    assert "got -0.3" in refuse(store, anomaly_threshold=-0.3)
    assert "got -0.3" in refuse(store, fixed=False, anomaly_threshold=-0.3)
    assert "no operating point 'best'" in refuse(store, operating_point="best")
    assert refuse(store, fixed=False, operating_point="best") is None


def test_who_chooses_an_operating_point_wants_it_to_rule():
    store = store_with(anomaly_threshold=0.7)
    chosen = {"operating_point": "half"}
    assert parameters.consequences(chosen, store.get) == {"anomaly_threshold": BY_POINT}
    both = {**chosen, "anomaly_threshold": 0.7}
    assert parameters.consequences(both, store.get) == {}
    assert parameters.consequences(chosen, store_with().get) == {}
    assert parameters.consequences({"overlay_opacity": 0.1}, store.get) == {}
