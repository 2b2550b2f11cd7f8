"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun in singular or plural: "1 image", "1,200 images", "2 identities" (given `plural`)."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
