"""Identity, camera and sequence in the file names of person re-identification data sets."""

import re
from dataclasses import dataclass

from runtime.counting import counted
from runtime.errors import UserError

_END = r"(?:\.(?:jpg|jpeg|png))+"  # Market-1501 has some images named .jpg.jpg


@dataclass(frozen=True)
class NameForm:
    """The form of a data set's file names.

    Attributes:
        title: the data set.
        example: a file name.
        stem: pattern of a name without extension. Its groups are identity, camera and, if names have one, sequence.
    """

    title: str
    example: str
    stem: str

    def match(self, name: str) -> re.Match[str] | None:
        """The match of the whole name, or None if it has another form."""
        return re.fullmatch(self.stem + _END, name, re.IGNORECASE)


# The keys are commands of dataset.prepare.
FORMS = {
    "market1501": NameForm(
        "Market-1501",
        "0001_c1s1_001051_00.jpg",
        r"(?P<identity>-1|[0-9]{4})_c(?P<camera>[0-9]+)(?P<sequence>s[0-9]+)_[0-9]+_[0-9]+",
    ),
    "dukemtmc": NameForm(
        "DukeMTMC-reID", "0001_c2_f0046182.jpg", r"(?P<identity>[0-9]{4})_c(?P<camera>[0-9]+)_f[0-9]+"
    ),
    "cuhk03": NameForm("CUHK03 (new protocol)", "0003_c1_21.png", r"(?P<identity>[0-9]{4})_c(?P<camera>[12])_[0-9]+"),
    "mars": NameForm("MARS", "0001C1T0001F001.jpg", r"(?P<identity>00-1|[0-9]{4})C(?P<camera>[0-9]+)T[0-9]+F[0-9]+"),
}


def parse_names(names: list[str], form: str, where: str) -> list[tuple[str, ...]]:
    """(identity, camera) or (identity, camera, sequence) of each file name.

    The name of a sequence includes the identity (`0002_c1s1`). A sequence of Market-1501 shows many people; without the
    identity, the sampler would never put two of them into one batch.

    Args:
        names: file names without folders.
        form: key of FORMS.
        where: the folder, for the message.

    Raises:
        UserError: for names of another form; it names the data set that has this form.
    """
    wanted, labels, odd = FORMS[form], [], []
    for name in names:
        match = wanted.match(name)
        if not match:
            odd.append(name)
            continue
        identity, camera, *sequence = match.groups()
        labels.append((identity, camera, *(f"{identity}_c{camera}{each}" for each in sequence)))
    if odd:
        remedy = "move other images to another folder"
        if other := next((command for command, each in FORMS.items() if each.match(odd[0])), None):
            remedy = f"this is a name of {FORMS[other].title}: use python -m dataset.prepare.{other}"
        what = f"{len(odd):,} of {counted(len(names), 'image')} are not named as in {wanted.title} ({wanted.example})"
        raise UserError(f"{where}: {what}, the first: {odd[0]!a}; {remedy}")
    return labels
