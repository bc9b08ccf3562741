"""The perception node on /diagnostics: tallies to states."""

from __future__ import annotations

from collections.abc import Mapping

from owseg.pipeline import Pipeline
from owseg_ros.diagnostics import Level, Status
from owseg_ros.hosts.base import Clock
from owseg_ros.perception.counters import Spread, Tally
from owseg_ros.perception.model import SharedModel

_STAGES = ("age", "latency", "decode", "inference", "grouping", "render", "publish")
_TROUBLES = {
    "failed": "frames failed",
    "malformed": "malformed images",
    "unsent": "messages not sent, a subscriber is too slow",
    "too_old": "images too old, see max_age_ms",
}
_PAST_MS, _FUTURE_MS = 60_000.0, -1_000.0


def camera_status(
    name: str,
    topic: str,
    now: Tally,
    before: Tally,
    elapsed_s: float,
    *,
    silence: str = "",
    doubt: str = "",
    active: bool = True,
) -> Status:
    """Describe one camera.

    Args:
        name: of the camera, "" = the only one.
        topic: with its images.
        now: its tally.
        before: its tally at the last report.
        elapsed_s: time since then, > 0.
        silence: why no images arrive, "" = they do.
        doubt: what is wrong with the times, "" = nothing.
        active: whether images are asked for.
    """
    grown = {what: max(0, now.counts[what] - before.counts.get(what, 0)) for what in now.counts}
    rates = {what: grown.get(what, 0) / elapsed_s for what in ("received", "processed")}
    level, message = _verdict(grown, now.last_error, silence, doubt)
    if not active:
        level, message = Level.OK, "not active"
    elif level is Level.OK and grown.get("idle") and not grown.get("processed"):
        message = f"nobody listens; {rates['received']:.1f} images per second arrive"
    elif level is Level.OK:
        message = f"{rates['processed']:.1f} of {rates['received']:.1f} images per second"
    return Status(
        name=f"camera {name}".rstrip(),
        level=level,
        message=message,
        values={
            "topic": topic,
            "input rate (Hz)": rates["received"],
            "output rate (Hz)": rates["processed"],
            "frames in": now.counts.get("received", 0),
            "frames out": now.counts.get("processed", 0),
            "frames replaced by newer ones": now.counts.get("replaced", 0),
            "frames too old": now.counts.get("too_old", 0),
            "frames without a subscriber": now.counts.get("idle", 0),
            "malformed images": now.counts.get("malformed", 0),
            "failed frames": now.counts.get("failed", 0),
            "messages not sent": now.counts.get("unsent", 0),
            **_spreads(now.spreads),
            "last error": now.last_error or "-",
        },
    )


def _verdict(
    grown: Mapping[str, int], last_error: str, silence: str, doubt: str
) -> tuple[Level, str]:
    if silence:
        return Level.WARN, f"no images: {silence}"
    troubles = [f"{grown[key]} {text}" for key, text in _TROUBLES.items() if grown.get(key)]
    if grown.get("failed") or grown.get("malformed"):
        troubles.append(last_error)
    if troubles:
        return Level.ERROR if grown.get("failed") else Level.WARN, "; ".join(troubles)
    return (Level.WARN, doubt) if doubt else (Level.OK, "")


def doubt_of(age_ms: float | None, clock: Clock) -> str:
    """Say what is wrong with the times that ages are made of, "" = nothing.

    Args:
        age_ms: of the latest frame, None = it is not known.
        clock: of the node.
    """
    if clock.simulated and not clock.now_ns():
        return "use_sim_time is set, but nothing publishes /clock; play the recording with --clock"
    if age_ms is not None and age_ms > _PAST_MS:
        return (
            f"images are stamped {age_ms / 1e3:.0f} s ago; with a recording: set use_sim_time and "
            "play it with --clock; with a camera: set its clock"
        )
    if age_ms is not None and age_ms < _FUTURE_MS:
        return "images are stamped in the future; synchronise the clocks (PTP, chrony)"
    return ""


def _spreads(spreads: Mapping[str, Spread]) -> dict[str, float | None]:
    unknown = Spread(None, None)
    return {
        f"{stage} {name} (ms)": value
        for stage in _STAGES
        for name, value in zip(Spread._fields, spreads.get(stage, unknown), strict=True)
    }


def model_status(model: SharedModel | None, device: str, problem: str) -> Status:
    """Describe the engine.

    Args:
        model: that is loaded; None = there is none.
        device: that was asked for.
        problem: why nothing is loaded, "" = it was not asked for.
    """
    if model is None:
        level = Level.ERROR if problem else Level.OK
        return Status(name="engine", level=level, message=problem or "no model is loaded")
    engine, manifest = model.pipeline.engine, model.pipeline.manifest
    notice = getattr(engine, "notice", "")
    return Status(
        name="engine",
        level=Level.WARN if getattr(engine, "degraded", False) else Level.OK,
        message=f"{manifest.name} on {engine.name}{f': {notice}' if notice else ''}",
        values={
            "model": manifest.name,
            "engine": engine.name,
            "device": getattr(engine, "device", device),
            "input": f"{manifest.width}x{manifest.height}",
            "classes": len(manifest.classes),
            "anomaly threshold": f"{model.settings.threshold:g}",
            "published anomaly": _published(model.pipeline),
            "meta classifier": model.judge or "-",
            "embedding space": engine.space,
        },
    )


def _published(pipeline: Pipeline) -> str:
    calibration = pipeline.manifest.calibration
    if calibration is None or not pipeline.calibrated:
        return "score"
    return f"probability, calibrated on {calibration.fitted_on} ({calibration.method})"


def prototype_status(model: SharedModel, servers: int, problem: str) -> Status:
    """Describe the novel classes.

    Args:
        model: that uses them.
        servers: number of publishers of sets.
        problem: why the last set is not in use, "" = it is.
    """
    found = model.pipeline.prototypes
    names = ", ".join(item.name for item in found.classes)
    level, message = Level.OK, names or "no novel class"
    if problem:
        level, message = Level.ERROR, problem
    elif servers > 1:
        level, message = Level.WARN, f"{servers} prototype servers contradict each other; keep one"
    return Status(
        name="prototypes",
        level=level,
        message=message,
        values={
            "version": found.version,
            "classes": names or "-",
            "vectors": found.num_vectors,
            "servers": servers,
        },
    )
