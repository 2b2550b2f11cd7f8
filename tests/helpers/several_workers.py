"""Trainings of several workers on this machine, as a user starts them."""

import socket
import subprocess
from pathlib import Path

from helpers.commands import start


def free_addresses(count: int) -> str:
    """Addresses for --workers."""
    held = [socket.create_server(("", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
    for each in held:
        each.close()
    return ",".join(addresses)


def start_workers(run: Path, count: int, *words: object) -> "list[subprocess.Popen[str]]":
    """Starts all workers of a training. `words` are further ones for each."""
    addresses = free_addresses(count)
    options = ["--model_dir", run, "--workers", addresses, *words]
    return [start("train.py", *options, "--worker", number) for number in range(count)]


def ends(workers: "list[subprocess.Popen[str]]", timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each, after all have ended."""
    try:
        outputs = [each.communicate(timeout=timeout) for each in workers]
    except subprocess.TimeoutExpired:
        for each in workers:
            each.kill()
        raise
    return [(each.returncode, out, errors) for each, (out, errors) in zip(workers, outputs, strict=True)]
