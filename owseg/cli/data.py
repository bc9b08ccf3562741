"""`owseg data`: the commands that prepare data sets."""

from __future__ import annotations

SUMMARY = "prepare benchmarks from public data sets"
EXAMPLE = "owseg data goss camvid_a --root CamVid --out camvid_goss_a"

COMMANDS = {
    "goss": ("owseg.cli.data_goss", "make a GOSS benchmark: known classes, unknown segments"),
}
"""Commands by name: module and summary, as in the table of `owseg.cli.main`."""
