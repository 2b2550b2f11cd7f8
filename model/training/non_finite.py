"""The error of a training that diverged. Needs no TensorFlow, for train.py to know it."""

from pathlib import Path

from runtime.errors import UserError


class NonFiniteError(UserError):
    """The loss or a weight became NaN or infinite."""

    code = 3

    def __init__(self, what: str, last_good: Path | None) -> None:
        super().__init__(
            f"{what}; the last good checkpoint is {last_good}; lower the learning rate, or look at the data"
        )
