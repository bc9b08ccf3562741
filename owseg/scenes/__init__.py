"""Synthetic street drives with exact ground truth: for the demo, for training and for tests.

A `SceneConfig` names a world; `render_drive` drives through it, `render_scene` takes one picture
of it, `write_drive` records it as a ROS 2 bag, `strange_object` makes a single cut-out.
"""

from __future__ import annotations

from owseg.scenes.bag import write_drive
from owseg.scenes.config import LIGHTINGS, SIDES, STYLES, SceneConfig, random_config
from owseg.scenes.render import render_drive, render_scene
from owseg.scenes.scene import STRANGE_ID, Scene
from owseg.scenes.strange import STRANGE_KINDS, strange_object

__all__ = [
    "LIGHTINGS",
    "SIDES",
    "STRANGE_ID",
    "STRANGE_KINDS",
    "STYLES",
    "Scene",
    "SceneConfig",
    "random_config",
    "render_drive",
    "render_scene",
    "strange_object",
    "write_drive",
]
