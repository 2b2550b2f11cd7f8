"""Numbers with their nouns."""

from runtime.counting import counted


def test_singular_and_plural():
    assert [counted(number, "image") for number in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]
    assert [counted(number, "identity", "identities") for number in (1, 2)] == ["1 identity", "2 identities"]
