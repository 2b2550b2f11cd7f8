"""The attributes of episodes: written, read, wrong, and beside episodes that are left out."""

from pathlib import Path

import numpy as np
import pytest

from dataset.formats.episodes import attributes_path, read_attributes, read_episodes, write_attributes
from dataset.loading.checked import load_episodes
from model.evaluation.sets import find_evaluation_sets
from runtime.errors import UserError

NAMES = np.array(["0", "1", "2"], dtype=object)
COLUMNS = {"snippet": ["a, b", "ü", "a, b"], "category": ["n1", "n2", "n1"], "gap": np.array([1, 20, 3])}


def test_what_is_written_is_read_in_the_order_of_the_episodes(tmp_path: Path) -> None:
    path = tmp_path / "attributes" / "val.csv"
    write_attributes(path, COLUMNS)
    assert path.read_text(encoding="utf-8").splitlines()[:2] == ["episode,snippet,category,gap", '0,"a, b",n1,1']
    read = read_attributes(path, NAMES[[2, 0, 1]])
    assert {name: values.tolist() for name, values in read.items()} == {
        "snippet": ["a, b", "a, b", "ü"],
        "category": ["n1", "n1", "n2"],
        "gap": ["3", "1", "20"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must be episode,<name>,<name>..."),
        ("0,a\n1,b\n2,c\n", "the first line must be episode"),
        ("episode\n0\n1\n2\n", "the first line must be episode"),
        ("episode,a,\n0,1,\n", "the first line must be episode"),
        ("episode,a,b,a\n", "the column 'a' is there 2 times"),
        ("episode,episode\n", "the column 'episode' is there 2 times"),
        ("episode,candidates\n0,1\n1,1\n2,1\n", "the name 'candidates' is taken by the number of candidates"),
        ("episode,a\n0,1\n1\n", r"row 3: 1 fields instead of 2 \(episode,a\)"),
        ("episode,a\n0,1\n1,2,3\n", "row 3: 3 fields instead of 2"),
        ("episode,a\n0,\n", "row 2: empty a"),
        ("episode,a\n0,1\n1,1\n0,1\n2,1\n", "row 4: episode '0' has a row already"),
        ("episode,a\n0,1\n1,1\n2,1\n3,1\n", "row 5: there is no episode '3'"),
        ("episode,a\n0,1\n", r"episode '1' has no row \(and 1 more without one\)"),
        ("episode,a\n0,1\n2,1\n", "episode '1' has no row$"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "val.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_attributes(path, NAMES)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_episodes_without_attributes_have_none(dataset: Path) -> None:
    assert read_episodes(dataset / "episodes" / "val_eval.csv", dataset).attributes == {}


def test_broken_images_leave_attributes_aligned(own_dataset: Path) -> None:
    csv = own_dataset / "episodes" / "val_eval.csv"
    values = [f"of episode {i}" for i in range(6)]
    write_attributes(attributes_path(csv), {"snippet": values})
    assert [each.name for each in find_evaluation_sets(own_dataset) if each.kind == "episodes"] == ["val_eval"]
    whole = load_episodes(csv, own_dataset).episodes
    assert whole.attributes["snippet"].tolist() == values
    whole_files = whole.files()
    Path(whole_files[whole.positives[2]]).unlink()
    kept = load_episodes(csv, own_dataset, on_corrupt="skip").episodes
    assert 0 < len(kept) < 6
    assert "2" not in kept.names
    assert kept.attributes["snippet"].tolist() == [f"of episode {name}" for name in kept.names]

    with open(attributes_path(csv), "a") as file:  # an episode that never was is a mistake all the same
        file.write("6,x\n")
    with pytest.raises(UserError, match="there is no episode '6'"):
        load_episodes(csv, own_dataset, on_corrupt="skip")
