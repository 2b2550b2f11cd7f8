"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun in singular or plural: "1 image", "1,200 images", "2 identities", "3 matches"."""
    if plural is None:
        plural = f"{noun[:-1]}ies" if noun[-2:-1] not in "aeiou" and noun.endswith("y") else None
        plural = plural or f"{noun}{'es' if noun.endswith('ch') else 's'}"
    return f"{number:,} {noun if number == 1 else plural}"
