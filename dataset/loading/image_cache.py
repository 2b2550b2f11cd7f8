"""Images kept in memory (`image_cache`): each file is read, and perhaps decoded, only once.

They are strings, of the bytes of a file or of its pixels, since images differ in size.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runtime.errors import UserError

_SHARE = 0.8  # of the free memory: training needs some, too
_THREADS = 16  # for slow disks
_LOOK = 1000  # images between two looks at the memory


_kept: dict[tuple[Any, ...], Any] = {}


def remember(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` returned for the last key: a training asks for batches several times, and reads its images once."""
    if key not in _kept:
        _kept.clear()
        _kept[key] = make()
    return _kept[key]


def collect(load: Callable[[int], bytes], count: int) -> list[bytes]:
    """load(0) .. load(count - 1), by several threads.

    Raises:
        UserError: when all of them would not fit into memory, as soon as the first ones show it.
    """
    strings: list[bytes] = []
    limit, size = _SHARE * free_memory(), 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, count, _LOOK):
            lot = list(pool.map(load, range(start, min(start + _LOOK, count))))
            strings, size = strings + lot, size + sum(map(len, lot))
            # TensorFlow gets a copy while the strings are still there.
            if (needed := 2 * size * count / len(strings)) > limit:
                raise UserError(
                    f"image_cache: {count:,} images need about {needed / 1e9:,.1f} GB of memory while they are loaded, "
                    f"but {limit / 1e9:,.1f} GB are free for them; set image_cache to 'encoded' or 'none'"
                )
    return strings


def free_memory() -> float:
    """Bytes that programs can still get; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), float("inf"))
