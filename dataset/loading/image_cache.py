"""Images kept in memory (`image_cache`): each file is read, and perhaps decoded, only once.

They are strings, of the bytes of a file or of its pixels, since images differ in size.
"""

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runtime.errors import UserError

_SHARE = 0.8  # of the free memory: training needs some, too
_THREADS = 16  # for slow disks
_LOOK = 1000  # images between two looks at the memory
_LIMITS = (  # of control groups, version 2 and 1: the limit of a container, and its use
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)

_kept: dict[tuple[Any, ...], Any] = {}


def remember(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` returned for the last key: a training asks for batches several times, and reads its images once."""
    if key not in _kept:
        _kept.clear()
        _kept[key] = make()
    return _kept[key]


def collect(load: Callable[[int], bytes], count: int, smaller: str) -> list[bytes]:
    """load(0) .. load(count - 1), by several threads. `smaller` names values of `image_cache` that need less memory.

    Raises:
        UserError: when all of them would not fit into memory, as soon as the first ones show it.
    """
    strings: list[bytes] = []
    limit, size = _SHARE * free_memory(), 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, count, _LOOK):
            lot = list(pool.map(load, range(start, min(start + _LOOK, count))))
            strings += lot
            size += sum(map(len, lot))
            # TensorFlow gets a copy while the strings are still there.
            if (needed := 2 * size * count / len(strings)) > limit:
                raise UserError(
                    f"image_cache: {count:,} images need about {needed / 1e9:,.1f} GB of memory while they are loaded, "
                    f"but {limit / 1e9:,.1f} GB are free for them; set image_cache to {smaller}"
                )
    return strings


def free_memory() -> float:
    """Bytes that this process can still get, also within the limit of a container; infinite where nothing tells."""
    found = [math.inf]
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    for limit, used in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            found.append(float(Path(limit).read_text()) - float(Path(used).read_text()))
    return max(min(found), 0.0)
