"""The parameters of the perception node.

When a parameter takes effect:

    at configure   model, engine, fallback, device, score_type, grouping, meta, min_object,
                   calibrated, cameras, image_transport
    at once        anomaly_threshold, operating_point, overlay_opacity, lazy,
                   max_age_ms, image_timeout_s
    at the start   autostart, build_only

Those of the first row are refused while the node is configured; the others never change
what is loaded. QoS of each topic: `qos_overrides.<topic>.<publisher|subscription>.<policy>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from owseg.bundle import shipped_model
from owseg.engines import ENGINES
from owseg.engines.compact import SCORES
from owseg.errors import BundleError, UsageError
from owseg.grouping import GROUPINGS
from owseg.manifest import Manifest
from owseg.outputs import OPACITY
from owseg.places import expanded
from owseg_ros.hosts.parameters import ParameterSpec, ParameterType, Value
from owseg_ros.watchdog import TRANSPORTS

BY_POINT = -1.0
"""Value of `anomaly_threshold` that leaves the threshold to `operating_point`."""

Get = Callable[[str], Value]
"""Returns the value of a parameter by its name."""


def table() -> tuple[ParameterSpec, ...]:
    """Return what the node declares."""
    return (
        ParameterSpec(
            name="model",
            default="",
            description="model bundle (.onnx); empty = the one that is shipped",
        ),
        ParameterSpec(
            name="engine",
            default="onnxruntime",
            choices=tuple(ENGINES),
            description="runtime of the model; auto = tensorrt where it can be used",
        ),
        ParameterSpec(
            name="fallback",
            default=True,
            description="with tensorrt and auto: run on onnxruntime while an engine is built in "
            "the background, and whenever it cannot be used; false = an engine that 'owseg build' "
            "has made, or an error",
        ),
        ParameterSpec(
            name="device",
            default="auto",
            description="where the model runs: auto (a GPU if usable), cpu, cuda",
        ),
        ParameterSpec(
            name="score_type",
            default="float32",
            choices=tuple(SCORES),
            description="type in which anomaly scores leave a GPU; float16 halves their bytes, "
            "uint8 quarters them and rounds to steps of 1/255; what is unknown stays the same",
        ),
        ParameterSpec(
            name="grouping",
            default="components",
            choices=tuple(GROUPINGS),
            description="how unknown pixels become objects",
        ),
        ParameterSpec(
            name="meta",
            default="",
            description="meta classifier (.json, of 'owseg meta fit') that drops unknown objects "
            "that look like false alarms; empty = all stay",
        ),
        ParameterSpec(
            name="min_object",
            default=0.0,
            minimum=0.0,
            maximum=1.0,
            description="smallest unknown object, share of the image; pixels of smaller ones "
            "become known again; 0 = all stay",
        ),
        ParameterSpec(
            name="calibrated",
            default=False,
            description="publish probabilities of anomaly by the map of the model, of 'owseg "
            "calibrate'; false = the anomaly score",
        ),
        ParameterSpec(
            name="cameras",
            default=(),
            type=ParameterType.STRING_ARRAY,
            description="names of the cameras: <name>/image in, <name>/segmentation/mask and so "
            "on out; empty = one camera without a name",
        ),
        ParameterSpec(
            name="image_transport",
            default="raw",
            choices=tuple(TRANSPORTS),
            description="raw images on 'image', or compressed ones on 'image/compressed'",
        ),
        ParameterSpec(
            name="anomaly_threshold",
            default=BY_POINT,
            minimum=BY_POINT,
            maximum=1.0,
            description="pixels with a larger anomaly score are unknown, 0..1 (of the score, also "
            "with calibrated); -1 = that of operating_point",
        ),
        ParameterSpec(
            name="operating_point",
            default="",
            description="named threshold of the model, e.g. fpr_1; empty = the model's default",
        ),
        ParameterSpec(
            name="overlay_opacity",
            default=OPACITY,
            minimum=0.0,
            maximum=1.0,
            description="of the classes in the overlay: 0 = image only, 1 = classes only",
        ),
        ParameterSpec(
            name="lazy",
            default=True,
            description="compute and publish only what somebody subscribes to",
        ),
        ParameterSpec(
            name="max_age_ms",
            default=0.0,
            minimum=0.0,
            description="drop images whose stamp is older, in milliseconds; 0 = use all",
        ),
        ParameterSpec(
            name="image_timeout_s",
            default=5.0,
            minimum=0.1,
            description="seconds without an image after which the node says why",
        ),
        ParameterSpec(
            name="autostart",
            default=True,
            read_only=True,
            description="configure and activate at the start; false = leave it to a manager",
        ),
        ParameterSpec(
            name="build_only",
            default=False,
            read_only=True,
            description="build the TensorRT engine of the model, unless it is there, and end",
        ),
    )


LIVE = frozenset(
    {
        "anomaly_threshold",
        "operating_point",
        "overlay_opacity",
        "lazy",
        "max_age_ms",
        "image_timeout_s",
    }
)
"""Names of parameters that take effect at once."""

FIXED = frozenset(spec.name for spec in table() if not spec.read_only) - LIVE
"""Names of parameters that do not change while the node is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the node loads at configure.

    Attributes:
        model: the bundle.
        engine: name of the engine.
        fallback: whether ONNX Runtime may stand in for it.
        device: where it runs.
        score: type in which scores leave a GPU.
        grouping: name of the grouping.
        meta: file of the meta classifier; None = none.
        min_object: smallest unknown object, share of the image, 0..1.
        calibrated: whether probabilities are published.
        cameras: names of the cameras; one empty name = a camera without a name.
        transport: "raw" or "compressed".
    """

    model: Path
    engine: str
    fallback: bool
    device: str
    score: str
    grouping: str
    meta: Path | None
    min_object: float
    calibrated: bool
    cameras: tuple[str, ...]
    transport: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may change from frame to frame; replaced as a whole.

    Attributes:
        threshold: of the anomaly score, 0..1.
        opacity: of the overlay, 0..1.
        lazy: leave out what nobody subscribes to.
        max_age_ms: drop images that are older; 0 = none.
        image_timeout_s: silence after which something is wrong.
    """

    threshold: float
    opacity: float
    lazy: bool
    max_age_ms: float
    image_timeout_s: float


def load_of(get: Get) -> Load:
    """Read what is to be loaded.

    Raises:
        UsageError: two cameras have the same name, or one has none; or a path begins with ~ and
            there is no home directory.
    """
    names = get("cameras")
    cameras = tuple(str(name) for name in names) if isinstance(names, tuple) else ()
    if len(set(cameras)) < len(cameras) or "" in cameras:
        raise UsageError(
            f"the parameter 'cameras' must hold different names, got [{', '.join(cameras)}]"
        )
    model, meta = str(get("model")), str(get("meta"))
    return Load(
        model=expanded(model) if model else shipped_model(),
        engine=str(get("engine")),
        fallback=bool(get("fallback")),
        device=str(get("device")),
        score=str(get("score_type")),
        grouping=str(get("grouping")),
        meta=expanded(meta) if meta else None,
        min_object=_number(get("min_object")),
        calibrated=bool(get("calibrated")),
        cameras=cameras or ("",),
        transport=str(get("image_transport")),
    )


def settings_of(get: Get, manifest: Manifest) -> Settings:
    """Read what may change from frame to frame.

    Raises:
        UsageError: the threshold is out of range.
        BundleError: the model has no such operating point.
    """
    given = _number(get("anomaly_threshold"))
    if reason := refuse_threshold(given):
        raise UsageError(reason)
    point = manifest.threshold(str(get("operating_point")) or None)
    return Settings(
        threshold=point if given == BY_POINT else given,
        opacity=_number(get("overlay_opacity")),
        lazy=bool(get("lazy")),
        max_age_ms=_number(get("max_age_ms")),
        image_timeout_s=_number(get("image_timeout_s")),
    )


def refuse(
    changes: Mapping[str, Value], get: Get, manifest: Manifest | None, *, fixed: bool
) -> str | None:
    """Say why changes are refused, None = they are not.

    Args:
        changes: values by name, of the right types and in their ranges.
        get: returns the present values.
        manifest: of the model that is loaded; None = there is none.
        fixed: whether the node is configured, or about to be.
    """
    for name in sorted(FIXED & changes.keys()):
        if fixed and changes[name] != get(name):
            return (
                f"parameter '{name}' is fixed while the node is configured; clean it up first "
                "(ros2 lifecycle set NODE deactivate, then cleanup), or start it anew"
            )
    if reason := refuse_threshold(_number(changes.get("anomaly_threshold", BY_POINT))):
        return reason
    if manifest is not None and "operating_point" in changes:
        try:
            manifest.threshold(str(changes["operating_point"]) or None)
        except BundleError as error:
            return str(error)
    return None


def refuse_threshold(value: float) -> str:
    """Say why a value of `anomaly_threshold` is not acceptable, "" = it is."""
    if value == BY_POINT or 0.0 <= value <= 1.0:
        return ""
    return (
        f"parameter 'anomaly_threshold' must be in 0..1, or -1 for the operating point, got {value}"
    )


def consequences(changes: Mapping[str, Value], get: Get) -> dict[str, Value]:
    """Return what must change too: who chooses an operating point wants it to rule."""
    overruled = _number(get("anomaly_threshold")) != BY_POINT
    if "operating_point" in changes and "anomaly_threshold" not in changes and overruled:
        return {"anomaly_threshold": BY_POINT}
    return {}


def _number(value: Value) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
