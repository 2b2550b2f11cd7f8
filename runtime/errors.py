"""The exception for invalid input."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Invalid input. The message is one line: what is wrong, where, and what to do. `code` is the exit code."""

    code = 2


def exit_code(command: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit code. A `UserError` or `OSError` becomes one line on stderr."""
    try:
        return command() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except OSError as error:  # such as a full disk or a lost network share: a traceback would not explain it better
        print(f"error: {error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
