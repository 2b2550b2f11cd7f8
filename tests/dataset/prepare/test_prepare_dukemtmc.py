"""Preparing DukeMTMC-reID."""

import csv
from pathlib import Path

import pytest
from helpers.reid_trees import make_dukemtmc, make_market1501, read_tables

from dataset.prepare.dukemtmc import BENCHMARK, main
from dataset.sources.counts import count
from dataset.sources.names import parse_names
from runtime.json_files import read_json


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_prepared_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_dukemtmc(tmp_path / "duke", train=3, test=4, cameras=2, images=3, extra=2)
    assert run("--root", tree, "--out", tmp_path / "out") == 0
    tables = read_tables(tmp_path / "out")
    assert {name: len(rows) for name, rows in tables.items()} == {"train.csv": 18, "query.csv": 8, "gallery.csv": 26}
    assert tables["query.csv"][0] == ("0001", "query/0001_c1_f0046000.jpg", "1")
    counts = read_json(tmp_path / "out" / "dataset.json")["counts"]
    assert (counts["train_identities"], counts["query_identities"], counts["gallery_identities"]) == (3, 4, 6)
    assert "gallery images: 26 here, 17661 published" in capsys.readouterr().out


def test_names_of_market_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = make_market1501(tmp_path / "market", train=2, test=2, cameras=2, images=1)
    assert run("--root", tree, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "Market-1501: use python -m dataset.prepare.market1501" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_published_lists(shared_data: Path) -> None:
    """The real names give the published counts, and the identities of the older tools' lists."""
    tables = {}
    for table, part in (("train", "train"), ("query", "query"), ("gallery", "test")):
        with open(shared_data / "reid_lists" / f"dukeMTMC_{part}.csv", newline="") as file:
            listed = list(csv.reader(file))
        labels = parse_names([path.split("/")[-1] for _, path in listed], "dukemtmc", part)
        assert [identity for identity, _ in labels] == [identity for identity, _ in listed]
        tables[f"{table}.csv"] = [(i, path, c) for (_, path), (i, c) in zip(listed, labels, strict=True)]
        assert {row[2] for row in tables[f"{table}.csv"]} == set("12345678")
    counts = count(tables)
    assert {name: counts[name] for name in BENCHMARK.published} == BENCHMARK.published
    assert counts["queries_without_match"] == 0
