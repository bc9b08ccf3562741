"""`owseg meta`: the commands that fit and judge meta classifiers."""

from __future__ import annotations

SUMMARY = "tell unknown objects from false alarms by how they look"
EXAMPLE = "owseg meta fit --data camvid --root CamVid --split train --out meta.json"

COMMANDS = {
    "fit": ("owseg.cli.meta_fit", "fit a meta classifier to labelled images"),
    "eval": ("owseg.cli.meta_eval", "count false and missed objects without and with one"),
}
"""Commands by name: module and summary, as in the table of `owseg.cli.main`."""
