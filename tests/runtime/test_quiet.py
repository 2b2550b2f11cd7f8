"""Output that is held back, and output that is shown."""

from helpers.commands import process

NOISE = """
import os
from runtime.errors import UserError
from runtime.quiet import quiet

def make_noise(error):
    with quiet(1, 2):
        print("Python")
        os.write(1, b"one")
        os.write(2, b"two")
        raise error

try:
    with quiet(1, 2):
        make_noise(UserError("it says all"))
except UserError as error:
    print(error)
"""


def test_noise_is_dropped():
    done = process("-c", NOISE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "it says all\n", "")


def test_noise_is_shown_when_the_block_fails():
    done = process("-c", f"{NOISE}\nmake_noise(ZeroDivisionError())")
    assert done.stdout == "it says all\n"
    assert all(word in done.stderr for word in ("Python", "one", "two", "Traceback"))


def test_only_what_is_asked_for_is_held_back():
    done = process(
        "-c", "import os\nfrom runtime.quiet import quiet\nwith quiet(2): os.write(1, b'a'); os.write(2, b'b')"
    )
    assert (done.stdout, done.stderr) == ("a", "")


def test_closed_streams_are_ignored():
    """A service may have closed streams."""
    code = """
import os, sys
from runtime.quiet import quiet
sys.stdout = None
os.close(1)
with quiet(1, 2):
    os.write(2, b"two")
"""
    done = process("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
