"""What the file names of person re-identification data sets state: identity, camera and sequence."""

import re
from dataclasses import dataclass

from runtime.errors import UserError

JUNK = "-1"  # identity of detections that take no part in the evaluation: bodies cut off, or no clear person
DISTRACTOR = "0000"  # identity of people and background that match no query


_END = r"(?:\.(?:jpg|jpeg|png))+"  # Market-1501 has some images named .jpg.jpg


@dataclass(frozen=True)
class NameForm:
    """How one data set names its images.

    Attributes:
        title: the data set.
        module: the command that prepares it.
        example: a name.
        pattern: of whole names; groups identity, camera and, where names state one, sequence.
    """

    title: str
    module: str
    example: str
    pattern: re.Pattern[str]


def _form(title: str, module: str, example: str, stem: str) -> NameForm:
    return NameForm(title, f"dataset.prepare.{module}", example, re.compile(stem + _END, re.IGNORECASE))


FORMS: dict[str, NameForm] = {
    "market1501": _form(
        "Market-1501",
        "market1501",
        "0001_c1s1_001051_00.jpg",
        r"(?P<identity>-1|[0-9]{4})_c(?P<camera>[0-9]+)(?P<sequence>s[0-9]+)_[0-9]+_[0-9]+",
    ),
    "dukemtmc": _form(
        "DukeMTMC-reID",
        "dukemtmc",
        "0001_c2_f0046182.jpg",
        r"(?P<identity>[0-9]{4})_c(?P<camera>[0-9]+)_f[0-9]+",
    ),
    "cuhk03": _form(
        "CUHK03 (new protocol)",
        "cuhk03",
        "0003_c1_21.png",
        r"(?P<identity>[0-9]{4})_c(?P<camera>[12])_[0-9]+",
    ),
    "mars": _form(
        "MARS",
        "mars",
        "0001C1T0001F001.jpg",
        r"(?P<identity>00-1|[0-9]{4})C(?P<camera>[0-9]+)T[0-9]+F[0-9]+",
    ),
}

Labels = tuple[str, str, str]  # identity, camera, sequence ("" where names state none)


def parse_names(names: list[str], form: str, where: str) -> list[Labels]:
    """What each file name states.

    A sequence is named with its identity (`0002_c1s1`): one of Market-1501 shows many people, and a value that they
    shared would link them for the sampler of batches.

    Args:
        names: file names without folders.
        form: key of FORMS.
        where: the folder, for the message.

    Raises:
        UserError: for names of another form, and says of which data set they are.
    """
    wanted, labels, odd = FORMS[form], [], []
    for name in names:
        if match := wanted.pattern.fullmatch(name):
            found = match.groupdict()
            sequence = f"{found['identity']}_c{found['camera']}{found['sequence']}" if found.get("sequence") else ""
            labels.append((found["identity"], found["camera"], sequence))
        else:
            odd.append(name)
    if odd:
        other = next((each for each in FORMS.values() if each.pattern.fullmatch(odd[0])), None)
        remedy = "move other images away"
        if other:
            remedy = f"that is a name of {other.title}: use python -m {other.module}"
        what = f"{len(odd)} of {len(names)} images have no name of {wanted.title} like {wanted.example}"
        raise UserError(f"{where}: {what}: {odd[0]!a}; {remedy}")
    return labels
