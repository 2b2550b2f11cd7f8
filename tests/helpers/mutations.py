"""What the readers do with damaged files.

    python -m helpers.mutations READER COUNT [SEED]        (with tests/ in PYTHONPATH)

reads COUNT damaged files and prints what went wrong; READER may be `text`, `binary` or `all`. Equal seeds make equal
damage.
"""

import contextlib
import io
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from helpers.damage import damaged
from helpers.readers import READERS, Reader

from dataset.sources import cuhk03_archive, matlab
from model.embedding import hdf5_file
from runtime import child
from runtime.errors import UserError
from runtime.printable import LONGEST, print_error

SECONDS, MEMORY = 10, 10**9  # one damaged file may take no more


def fault_of(reader: Reader, file: Path) -> str | None:
    """What a reader does wrong with a file; None for success, or a `UserError` in good time."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            reader.read(file)
    except UserError as error:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            print_error(error)
        line = said.getvalue()
        return None if line.count("\n") == 1 and 10 < len(line) <= LONGEST + 1 else f"its message is {line[:200]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
    return None


def peak_memory() -> int:
    """The most bytes that this process, or one that it waited for, has had at once."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024


class Campaign:
    """Damaged files for one reader, in a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.reader, self._inner = READERS[name], folder / "a" / "b"
        self._inner.mkdir(parents=True)
        self.file = self.reader.make(self._inner)
        self._valid = self.file.read_bytes()
        self._outside = folder
        assert fault_of(self.reader, self.file) is None

    def fault(self, seed: int) -> str | None:
        """What the reader does wrong with the damage of this seed."""
        self.file.write_bytes(damaged(self._valid, random.Random(seed), self.reader.binary))
        fault = fault_of(self.reader, self.file)
        if {entry.name for entry in (*self._outside.iterdir(), *self._outside.joinpath("a").iterdir())} != {"a", "b"}:
            return "it wrote outside of its folder"
        return fault


def main(words: list[str]) -> None:
    """The command line."""
    kinds = {"text": [False], "binary": [True], "all": [False, True]}.get(words[0])
    names = [name for name, reader in READERS.items() if (reader.binary in kinds if kinds else name == words[0])]
    first = int(words[2]) if len(words) > 2 else 0
    patient = child.run_in_child
    for module in (hdf5_file, matlab, cuhk03_archive):  # else a thousand files that hang take hours
        module.run_in_child = lambda *a, seconds, **k: patient(*a, seconds=min(seconds, 2), **k)  # type: ignore
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            campaign, faults, start = Campaign(name, Path(folder)), 0, time.monotonic()
            for seed in range(first, first + int(words[1])):
                if fault := campaign.fault(seed):
                    faults += 1
                    print(f"  {name}: seed {seed}: {fault}" if faults < 10 else "", end="\n" if faults < 10 else "")
            took, memory = time.monotonic() - start, peak_memory() / 1e6
            print(f"{name}: {words[1]} files, {faults} faults, {took:.0f} s, at most {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
