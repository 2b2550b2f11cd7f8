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


def start_workers(run: Path, count: int) -> "list[subprocess.Popen[str]]":
    """Starts all workers of a training that share its run folder."""
    return start_each([["--model_dir", run]] * count)


def start_each(words: list[list[object]]) -> "list[subprocess.Popen[str]]":
    """Starts all workers of a training, each with words of its own."""
    addresses = free_addresses(len(words))
    return [start("train.py", *each, "--worker", n, "--workers", addresses) for n, each in enumerate(words)]


def ends(workers: "list[subprocess.Popen[str]]", timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each, after all have ended."""
    try:
        outputs = [each.communicate(timeout=timeout) for each in workers]
    except subprocess.TimeoutExpired:
        for each in workers:
            each.kill()
        raise
    return [(each.returncode, out, errors) for each, (out, errors) in zip(workers, outputs, strict=True)]
