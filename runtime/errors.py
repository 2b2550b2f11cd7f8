"""The one exception for a user's mistake."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave is wrong: one line that says what, where, and what to do; `code` ends the command."""

    code = 2


def exit_code(command: Callable[[], int | None]) -> int:
    """Runs a command; a `UserError` or `OSError` becomes one line on stderr and an exit code, mostly 2."""
    try:
        return command() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except OSError as error:  # a full disk, a share that is gone: nothing that a traceback would explain better
        print(f"error: {error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
