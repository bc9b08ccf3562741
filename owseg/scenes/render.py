"""Rendering: a world, a time and a camera become a frame with exact ground truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from owseg.errors import UsageError
from owseg.scenes.buildings import Building
from owseg.scenes.camera import Camera
from owseg.scenes.canvas import Canvas
from owseg.scenes.cars import Vehicle
from owseg.scenes.config import SceneConfig
from owseg.scenes.effects import apply_effects
from owseg.scenes.ground import Ground, darken, make_ground, paint_ground
from owseg.scenes.lighting import Light, make_light
from owseg.scenes.markings import Markings, make_markings, paint_markings
from owseg.scenes.scene import Scene
from owseg.scenes.seeds import stream
from owseg.scenes.sky import paint_sky, paint_skyline
from owseg.scenes.stage import FAR_M, Stage
from owseg.scenes.things import Panel
from owseg.scenes.traffic import ego_position, movers
from owseg.scenes.world import Thing, World


class Renderer:
    """Draws the frames of one drive.

    Args:
        config: world and camera.
    """

    def __init__(self, config: SceneConfig) -> None:
        """Prepare light, ground and an empty world."""
        self.config = config
        self.world = World(config)
        self.light: Light = make_light(config)
        self.ground: Ground = make_ground(self.world.street, self.world.green)
        self.markings: Markings = make_markings(self.world.street)

    def camera(self, time: float, aside: float = 0.0) -> Camera:
        """Return the camera at a time in seconds, `aside` metres from its lane."""
        config, street = self.config, self.world.street
        z = ego_position(self.world, time)
        s = street.lane + self.world.swerve(z) + aside
        drift = (self.world.swerve(z + 1.0) - self.world.swerve(z - 1.0)) / 2
        bob = math.sin(time * 7.3) + 0.6 * math.sin(time * 11.9)
        sway = 0.004 * math.sin(time * 0.9)
        return Camera(
            width=config.width,
            height=config.height,
            focal_px=config.focal_px,
            horizon_px=config.horizon * config.height + 0.0012 * config.focal_px * bob,
            height_m=config.camera_height + 0.008 * bob,
            x=street.center(z) + s,
            z=z,
            yaw=math.atan(street.slope(z)) + 0.5 * drift + sway + math.radians(config.camera_yaw),
        )

    def frame(self, time: float, *, index: int = 0, aside: float = 0.0, stamp_ns: int = 0) -> Scene:
        """Return the frame at a time in seconds."""
        canvas = Canvas(self.config.width, self.config.height)
        camera = self.camera(time, aside)
        stage = Stage(
            canvas=canvas, camera=camera, street=self.world.street, light=self.light, time=time
        )
        things: list[Thing] = [
            t for t in self.world.around(camera.z, FAR_M) if camera.z - 1 < t.far < camera.z + FAR_M
        ]
        things += [t for t in movers(self.world, time, camera.z) if t.far > camera.z]
        things = [t for t in things if not self._in_the_way(t, camera)]
        things.sort(key=lambda t: -t.far)
        self._backdrop(stage, things)
        for thing in things:
            thing.draw(stage)
        image = apply_effects(canvas.image, self.config, index)
        return Scene(
            image=image, labels=canvas.labels, instances=canvas.instances, stamp_ns=stamp_ns
        )

    def _in_the_way(self, thing: Thing, camera: Camera) -> bool:
        """Return whether a thing stands so close ahead that the camera would run into it."""
        if isinstance(thing, (Building, Panel)):
            return False
        away = thing.z - camera.z
        room = 3.5 + thing.mesh.length / 2 if isinstance(thing, Vehicle) else 2.5
        if not 0 < away < room:
            return False
        own = camera.x - self.world.street.center(camera.z)
        return abs(thing.s - own) < (2.2 if isinstance(thing, Vehicle) else 0.9)

    def _backdrop(self, stage: Stage, things: list[Thing]) -> None:
        """Paint sky, skyline and the ground with its markings and shadows."""
        paint_sky(stage, self.config.seed)
        paint_ground(stage, self.ground)
        paint_skyline(stage, self.config.seed)
        paint_markings(stage, self.markings)
        close = [t for t in things if t.far < stage.camera.z + 90]
        cast = [p for t in close if isinstance(t, Building) for p in t.shadow(stage)]
        contact = [p for t in close if not isinstance(t, Building) for p in t.shadow(stage)]
        darken(stage, cast, contact)


def render_drive(config: SceneConfig, num_frames: int, fps: float = 10.0) -> Iterator[Scene]:
    """Yield the frames of a drive through one world.

    Args:
        config: world and camera.
        num_frames: number of frames, at least 1.
        fps: frames per second.

    Raises:
        UsageError: the number of frames or the frame rate makes no sense.
    """
    if num_frames < 1:
        raise UsageError(f"a drive needs at least 1 frame, not {num_frames}")
    if not 0 < fps <= 1000:
        raise UsageError(f"fps must be above 0 and at most 1000, not {fps:g}")
    return _frames(config, num_frames, fps)


def _frames(config: SceneConfig, num_frames: int, fps: float) -> Iterator[Scene]:
    renderer = Renderer(config)
    for i in range(num_frames):
        yield renderer.frame(i / fps, index=i, stamp_ns=round(i * 1e9 / fps))


def render_scene(config: SceneConfig) -> Scene:
    """Return one frame from a random place of the world, for training.

    The place, the time and the position in the lane follow from the seed.
    """
    rng = stream(config.seed, 149)
    renderer = Renderer(replace(config, speed=max(config.speed, 5.0)))
    side = renderer.world.street
    aside = rng.choice([0.0, 0.0, rng.uniform(-1, 1) * 0.6, -side.lane * rng.uniform(0, 2)])
    return renderer.frame(rng.uniform(0, 60), aside=aside)
