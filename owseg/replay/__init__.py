"""Replay: sources, recording, report, figures."""
