"""The memory of a command: its peak, and what it holds now."""

import re
import subprocess
import sys
from pathlib import Path

from helpers.commands import ROOT, environment

# Not ru_maxrss: it starts with the memory of the parent process.
_PROGRAM = """
import re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def run_measured(*words: object) -> tuple[str, int]:
    """The output of `python -m WORDS`, and its peak memory in megabytes."""
    line = [sys.executable, "-c", _PROGRAM, *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment())
    assert done.returncode == 0, done.stderr
    said, _, peak = done.stdout.rpartition("PEAK ")
    return said, int(peak)


def resident(pid: int | str = "self") -> float:
    """The memory that a process holds now, in megabytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024
