"""The exception for invalid input."""

import sys
from collections.abc import Callable

from runtime.printable import prepare_streams, print_error, print_line
from runtime.stopping import Ended, attended


class UserError(Exception):
    """Invalid input. The message is one line: what is wrong, where, and what to do. `code` is the exit code."""

    code = 2


def exit_code(command: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit code. A `UserError` or `OSError` becomes one line on stderr.

    If the terminal is closed or the reader of the output ends, the command ends without words.
    """
    prepare_streams()
    with attended() as output:
        try:
            code = command() or 0
            if output.failure:
                raise output.failure
            return code
        except UserError as error:
            print_error(f"error: {error}")
            return error.code
        except OSError as error:  # such as a lost network share: a traceback would not explain it better
            print_error(f"error: {error.filename or 'input or output'}: {error.strerror or error}")
            return 2
        except UnicodeEncodeError as error:  # a name with half a surrogate pair, or Python started without UTF-8
            encoding = sys.getfilesystemencoding()
            print_error(f"error: {error.object}: this text cannot be a file's name or content in {encoding}; rename it")
            return 2
        except Ended as end:
            return end.code
        except KeyboardInterrupt:
            print_line("interrupted", error=True)
            return 130
