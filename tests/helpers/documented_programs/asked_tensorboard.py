"""Starts `tensorboard WORDS`, asks it for runs with curves or with a projector as a browser would, and ends it."""

import json
import re
import subprocess
import sys
import time
import urllib.request

PATIENCE = 120  # seconds until it must have found something


def main(words: list[str]) -> int:
    """0 when it serves something."""
    line = [sys.executable, "-m", "tensorboard.main", *words, "--port", "0"]
    deadline = time.monotonic() + PATIENCE
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = next(line for line in server.stderr if "http://" in line)
            address = re.search(r"http://\S+", said)[0]
            while time.monotonic() < deadline:
                for runs in ("data/runs", "data/plugin/projector/runs"):
                    with urllib.request.urlopen(f"{address}{runs}", timeout=PATIENCE) as answer:
                        if json.load(answer):
                            return 0
                time.sleep(0.2)
            return 1
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
