"""Identities of person re-identification data sets that stand for nobody."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.counting import counted

JUNK = "-1"  # detections that the evaluation ignores: cut-off bodies, or no clear person
DISTRACTOR = "0000"  # people and background that match no query
JUNK_FOLDER = "00-1"  # the identity -1 in names of files and folders of MARS

# A number 0000 may be a person of a data set with other names.
_DISTRACTOR_NAME = re.compile(r"0000(?:_c[0-9]+(?:s[0-9]+)?_|C[0-9]+T[0-9]+F[0-9]+)")


@dataclass(frozen=True)
class Nobody:
    """Which of N images show nobody, (N,) bool, and how many of them are junk and distractors."""

    mask: np.ndarray
    junk: int
    distractors: int

    def __str__(self) -> str:
        """Such as "4 junk images (identity -1) and 2 distractors (0000)"; empty if there are none."""
        junk = f"{counted(self.junk, 'junk image')} (identity {JUNK})" if self.junk else ""
        distractors = f"{counted(self.distractors, 'distractor')} ({DISTRACTOR})" if self.distractors else ""
        return " and ".join(filter(None, (junk, distractors)))


def find_nobody(identities: Sequence[str] | np.ndarray, paths: Iterable[str]) -> Nobody:
    """The images that must not be trained on as if they were a person.

    They are junk, and distractors whose file names have the form of Market-1501, DukeMTMC-reID or MARS.
    """
    junk = np.array([identity in (JUNK, JUNK_FOLDER) for identity in identities], bool)
    named = zip(identities, paths, strict=True)
    others = [who == DISTRACTOR and bool(_DISTRACTOR_NAME.match(path.rpartition("/")[2])) for who, path in named]
    distractors = np.array(others, bool)
    return Nobody(junk | distractors, int(junk.sum()), int(distractors.sum()))
