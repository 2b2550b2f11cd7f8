"""Runs of export.py."""

from helpers.commands import command


def export(run, out, format="keras", *words):
    return command("export.py", "--model_dir", run, "--format", format, "--out", out, *words)


def refused(run, out, format="keras", *words):
    before = sorted(out.parent.rglob("*"))
    done = export(run, out, format, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert sorted(out.parent.rglob("*")) == before
    return done.stderr


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())
