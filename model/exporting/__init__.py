"""Exporting a trained network for use without this project: written, checked against the run, described."""
