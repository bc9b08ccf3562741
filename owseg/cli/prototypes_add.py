"""`owseg prototypes add`: learn a new class from a few examples."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from owseg.cli.common import add_engine_arguments, engine_from, positive_int
from owseg.cli.prototypes import add_store_argument
from owseg.errors import UsageError
from owseg.prototypes import NovelClass, PrototypeSet, PrototypeStore
from owseg.prototypes.checks import check_free_name, clean_name
from owseg.prototypes.database import need_place
from owseg.prototypes.examples import Example
from owseg.prototypes.learn import LearnedClass, LearnOptions, learn_class
from owseg.prototypes.pooling import POOLINGS
from owseg.prototypes.radius import SHARE

SUMMARY = "learn a new class from a few examples"
EXAMPLE = "owseg prototypes add classes.db sofa --shot a.jpg a_mask.png --shot b.jpg b.json"

_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")
_CLUSTER = re.compile(r"(\d+):(\d+(?:,\d+)*)")
_LISTED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_store_argument(parser)
    parser.add_argument("name", metavar="NAME", help="name of the new class")
    _add_shots(parser.add_argument_group("examples, one kind or several"))
    _add_learning(parser.add_argument_group("learning"))
    parser.add_argument("--color", type=_color, metavar="RRGGBB", help="its colour (default: new)")
    parser.add_argument("--json", action="store_true", help="print what was learnt as JSON")
    add_engine_arguments(parser)


def _add_shots(group: Any) -> None:
    group.add_argument(
        "--shot",
        nargs=2,
        type=Path,
        action="append",
        default=[],
        metavar=("IMAGE", "MASK"),
        help="image and mask: a PNG, not black where the class is; or polygons (.json: "
        "[[[x, y], ...], ...] or a file of LabelMe); may be repeated",
    )
    group.add_argument(
        "--shots",
        type=Path,
        metavar="DIR",
        help="folder of images with masks: NAME.jpg with NAME.json, NAME_mask.png or "
        "masks/NAME.png",
    )
    group.add_argument(
        "--replay", type=Path, metavar="DIR", help="output folder of 'owseg replay', for --cluster"
    )
    group.add_argument(
        "--cluster",
        type=_cluster,
        action="append",
        default=[],
        metavar="FRAME:ID[,ID]",
        help="unknown objects in a frame of --replay, numbered as in the report; may be repeated",
    )
    group.add_argument(
        "--label",
        help="masks are label images: this id is the class, 255 says nothing; in files of "
        "LabelMe: this label (default: NAME)",
    )
    group.add_argument(
        "--more-instances",
        action="store_true",
        help="the images show more of the class than is marked: learn nothing from the rest",
    )


def _add_learning(group: Any) -> None:
    group.add_argument(
        "--radius", type=float, help="squared distance of a claim (default: fitted to the shots)"
    )
    group.add_argument(
        "--share",
        type=float,
        default=SHARE,
        help=f"share of a usual image that the class covers; less = fewer claims ({SHARE})",
    )
    group.add_argument(
        "--num-prototypes",
        type=positive_int,
        metavar="M",
        help="prototypes of the class (default: more than one only where held-out shots gain)",
    )
    group.add_argument(
        "--pooling",
        choices=POOLINGS,
        default=POOLINGS[0],
        help="what counts alike in the mean: all pixels, or all images (pixel)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    started = time.perf_counter()
    options = LearnOptions(
        pooling=args.pooling,
        prototypes=args.num_prototypes,
        radius=args.radius,
        share=args.share,
        more_instances=args.more_instances,
    )
    name = clean_name(args.name)
    need_place(args.store)
    examples = _examples(args, name)
    with engine_from(args) as engine:
        manifest, space = engine.manifest, engine.space
        present = _present(args.store, space)
        check_free_name(name, present.classes, manifest.class_names)
        learned = learn_class(engine, examples, options, present)
    with PrototypeStore(args.store, create=True, space=space) as store:
        added = store.add(
            name,
            learned.vectors,
            learned.radius,
            learned.shots,
            color=args.color,
            space=space,
            known=manifest.classes,
            slots=manifest.slots,
        )
        version = store.version
    for text in learned.warnings:
        _warn(text)
    if args.json:
        print(json.dumps(_as_json(args.store, version, added, learned), indent=2))
    else:
        print(_as_text(args.store, version, added, learned, time.perf_counter() - started))
    return 0


def _present(path: Path, space: str) -> PrototypeSet:
    """Return the classes that are there already; a missing or empty file has none yet."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return PrototypeSet()
    with PrototypeStore(path, read_only=True, space=space) as store:
        return store.read()


def _examples(args: argparse.Namespace, name: str) -> list[Example]:
    # Recordings need packages that the rest does not: they are loaded only where one is read.
    from owseg.prototypes.shot_files import left_out, load_folder, load_shot

    if (args.replay is None) != (not args.cluster):
        raise UsageError(
            "--replay and --cluster belong together: the folder of a replay, and FRAME:ID for "
            "each unknown object to learn from"
        )
    label: str | None = args.label
    found = [load_shot(image, mask, name=name, label=label) for image, mask in args.shot]
    if args.shots is not None:
        found += load_folder(args.shots, name=name, label=label)
        _warn_of_left_out(args.shots, left_out(args.shots))
    if args.cluster:
        from owseg.prototypes.cluster_shots import load_clusters

        wanted: dict[int, list[int]] = {}
        for frame, ids in args.cluster:
            wanted.setdefault(frame, []).extend(ids)
        found += load_clusters(args.replay, wanted)
    if not found:
        raise UsageError(
            "nothing to learn from; give --shot IMAGE MASK, --shots DIR, or --replay DIR with "
            "--cluster FRAME:ID"
        )
    return found


def _warn_of_left_out(folder: Path, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        _warn(
            f"nothing was learnt from {', '.join(names[:_LISTED])}{more} in {folder}: an image "
            "without a mask, or a mask without an image"
        )


def _warn(text: str) -> None:
    print(f"owseg: warning: {text}", file=sys.stderr)


def _cluster(text: str) -> tuple[int, list[int]]:
    match = _CLUSTER.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected FRAME:ID or FRAME:ID,ID, got '{text}'")
    return int(match[1]), [int(part) for part in match[2].split(",")]


def _color(text: str) -> tuple[int, int, int]:
    match = _COLOR.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected six hexadecimal digits RRGGBB, got '{text}'")
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def _as_text(
    path: Path, version: int, added: NovelClass, learned: LearnedClass, seconds: float
) -> str:
    shots, pixels = len(learned.shots), sum(shot.pixels for shot in learned.shots)
    vectors = len(learned.vectors)
    lines = {
        "learnt": f"'{added.name}' (id {added.id}, #{bytes(added.color).hex()}) from {shots} "
        f"shot{'s' * (shots != 1)}, {pixels} pixels, in {seconds:.1f} s",
        "prototypes": f"{vectors}, radius {added.radius:.4g} (squared distance)",
        "held out": _held_out(learned),
        "store": f"{path} is at version {version}",
    }
    return "\n".join(f"{name:<12} {text}" for name, text in lines.items())


def _held_out(learned: LearnedClass) -> str:
    rating = learned.rating
    text = f"{rating.found:.0%} of the class is found"
    if rating.taken is not None:
        text += f", {rating.taken:.1%} of the rest is taken for it"
    return (
        text
        + {
            "shots": " (each shot judged by the others)",
            "halves": " (each half of the only shot judged by the other)",
            "nothing": " (in the only shot itself: it is too small to judge)",
        }[learned.held_out]
    )


def _as_json(path: Path, version: int, added: NovelClass, learned: LearnedClass) -> dict[str, Any]:
    return {
        "store": str(path),
        "version": version,
        "id": added.id,
        "name": added.name,
        "color": list(added.color),
        "radius": added.radius,
        "prototypes": len(learned.vectors),
        "shots": [asdict(shot) for shot in learned.shots],
        "held_out": {"by": learned.held_out, **asdict(learned.rating)},
        "claims_on_known": learned.claims,
        "warnings": list(learned.warnings),
    }
