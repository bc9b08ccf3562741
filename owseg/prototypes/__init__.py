"""Novel classes: learnt from a few examples, kept in a store, swapped into a running graph."""

from owseg.prototypes.classes import MAX_NAME, NovelClass, PrototypeSet, Shot
from owseg.prototypes.history import Change
from owseg.prototypes.store import PrototypeStore

__all__ = ["MAX_NAME", "Change", "NovelClass", "PrototypeSet", "PrototypeStore", "Shot"]
