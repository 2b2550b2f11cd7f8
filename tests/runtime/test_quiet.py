"""What is held back, and what is shown after all."""

from helpers.commands import process

NOISE = """
import os
from runtime.errors import UserError
from runtime.quiet import quiet

def make_noise(error):
    with quiet():
        print("Python")
        os.write(1, b"one")
        os.write(2, b"two")
        raise error

try:
    with quiet():
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
