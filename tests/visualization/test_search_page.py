"""The page of a search: axes, lines and rows."""

import re

import pytest
from helpers.commands import command
from helpers.html_page import Parsed
from helpers.searches import make_search, use_fakes

from model.searching.space import Choices, Range
from visualization.searching.coordinates import colour_rows, make_axes

METRIC = "val_eval/general_accuracy"


def rows_of(key, values, metrics):
    return [{key: str(value), METRIC: metric} for value, metric in zip(values, metrics, strict=True)]


def test_numbers_lie_on_their_scale():
    rows = rows_of("learning_rate", [1e-5, 1e-3, 1e-1], [0.2, 0.6, 1.0])
    logarithmic, metric = make_axes([Range("learning_rate", 1e-5, 1e-1, True, False)], rows, METRIC)
    assert logarithmic.places == pytest.approx([1.0, 0.5, 0.0])  # from bottom to top
    assert [tick.label for tick in logarithmic.ticks] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert metric.places == pytest.approx([1.0, 0.5, 0.0])
    linear, _ = make_axes([Range("learning_rate", 0, 0.1, False, False)], rows, METRIC)
    assert linear.places == pytest.approx([1.0, 0.99, 0.0], abs=1e-3)


def test_choices_are_evenly_spaced_numbers_first():
    rows = rows_of("margin", [0.2, "soft", 1], [0.1, "", 0.3])
    axis, metric = make_axes([Choices("margin", [1, "soft", 0.2]), Choices("batch_k", [4])], rows, METRIC)
    assert [(tick.label, tick.place) for tick in axis.ticks] == [("0.2", 1.0), ("1", 0.5), ("soft", 0.0)]
    assert axis.places == [1.0, 0.0, 0.5]
    assert metric.places == pytest.approx([1.0, None, 0.0])


def test_colours_follow_the_metric():
    low, none, high = colour_rows(rows_of("margin", "abc", [0.1, "", 0.3]), METRIC)
    assert (low, none) == ("#440154", None)  # viridis begins with it
    assert re.fullmatch("#[0-9a-f]{6}", high)
    assert high != low
    assert len(set(colour_rows(rows_of("margin", "ab", [0.5, 0.5]), METRIC))) == 1
    assert colour_rows(rows_of("margin", "a", [""]), METRIC) == [None]


def test_the_page_shows_every_trial(tmp_path, dataset, monkeypatch):
    use_fakes(monkeypatch)
    folder = make_search(tmp_path / "<b> search", dataset, train_iterations=1)
    words = ["--set", "margin=0.1,0.2,0.3", "--set", "head=gem,direct", "--set", "batch_k=4", "--seeds", 2]
    done = command("search_hyperparams.py", "--parent_dir", folder, *words, "--parallel", 6)
    assert done.returncode == 0, done.stderr
    page = Parsed(folder / "search.html")
    lines = [each for each in page.all("polyline") if each["class"] == "seen"]
    assert len(lines) == 6
    for line in lines:
        assert re.fullmatch(r"(\d+\.\d,\d+\.\d ?){3}", line["points"])
    assert len({line["stroke"] for line in lines}) == 3  # the head changes nothing
    assert len(page.all("tr")) - len(re.findall("<tr><th", (folder / "search.html").read_text())) == 6 + 1
    assert f"Search in {tmp_path}/<b> search" in page.words
    assert "6 done" in page.words
    assert "grid, 2 seeds each" in page.words
    best = r"trial \d: val_eval/general_accuracy 0.306 ± 0.0071 with margin 0.3, head (gem|direct)"
    assert re.search(best, page.words)


def test_a_search_of_seeds_alone_has_a_table_and_no_axes(tmp_path, dataset, monkeypatch):
    use_fakes(monkeypatch)
    folder = make_search(tmp_path / "search", dataset, train_iterations=1, margin=0.5)
    done = command("search_hyperparams.py", "--parent_dir", folder, "--seeds", 3)
    assert done.returncode == 0, done.stderr
    page = Parsed(folder / "search.html")
    assert not page.all("svg")
    assert "0.511" in page.words
