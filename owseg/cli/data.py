"""`owseg data`: the commands that check and prepare data sets."""

from __future__ import annotations

SUMMARY = "check public data sets, and prepare benchmarks from them"
EXAMPLE = "owseg data goss camvid_a --root CamVid --out camvid_goss_a"

COMMANDS = {
    "check": ("owseg.cli.data_check", "say what is wrong with a data set on disk"),
    "goss": ("owseg.cli.data_goss", "make a GOSS benchmark: known classes, unknown segments"),
}
"""Commands by name: module and summary, as in the table of `owseg.cli.main`."""
