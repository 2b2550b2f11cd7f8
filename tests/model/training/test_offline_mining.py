"""Hard triples: mining compared with plain loops, and the files."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from model.run.triples_file import load_triples, save_triples
from model.training.hard_triples import hardest_triples

TRIPLES = np.array([[0, 1, 2], [1, 0, 3]])


def by_loops(embeddings, codes, metric):
    """Hardest triples one by one in float64; max and min take the first of equal values."""
    distances = cdist(embeddings, embeddings, metric)
    triples = []
    for anchor, code in enumerate(codes):
        positives = [i for i in range(len(codes)) if codes[i] == code and i != anchor]
        negatives = [i for i in range(len(codes)) if codes[i] != code]
        if positives:
            farthest = max(positives, key=lambda i: distances[anchor, i])
            triples.append((anchor, farthest, min(negatives, key=lambda i: distances[anchor, i])))
    return np.array(triples)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "cosine"])
@pytest.mark.parametrize("block", [1, 7, 60, 1024])
def test_as_by_loops(metric, block):
    random = np.random.default_rng(0)
    codes = random.integers(0, 25, 60)  # a few identities have a single image
    assert (np.bincount(codes) == 1).any()
    sets = [random.normal(size=(60, 5)).astype(np.float32)]
    if metric != "cosine":  # exact in float32, with many ties, which go to the lowest index
        sets.append(random.integers(0, 3, (60, 3)).astype(np.float32))
    for embeddings in sets:
        triples = hardest_triples(embeddings, codes, metric, block)
        assert triples.dtype == np.int64
        np.testing.assert_array_equal(triples, by_loops(embeddings, codes, metric))


def test_no_image_has_a_positive():
    assert hardest_triples(np.eye(3, dtype=np.float32), np.arange(3), "euclidean").shape == (0, 3)


@pytest.mark.parametrize(
    ("embeddings", "codes", "message"),
    [
        (np.zeros((3, 2)), [0, 0, 0], "only one identity"),
        (np.array([[0.0], [np.nan], [1.0]]), [0, 0, 1], "NaN or infinite"),
        (np.array([[0.0], [np.inf], [1.0]]), [0, 0, 1], "NaN or infinite"),
        (np.array([[0.0], [1.0], [1e20]]), [0, 0, 1], "NaN or infinite"),  # the squares overflow
    ],
)
def test_what_cannot_be_mined(embeddings, codes, message):
    with pytest.raises(ValueError, match=message):
        hardest_triples(embeddings.astype(np.float32), np.array(codes), "euclidean")


def test_files_keep_triples(tmp_path):
    folder = tmp_path / "not there yet"
    assert load_triples(folder, 0) is None
    save_triples(folder, 0, TRIPLES)
    for triples in (TRIPLES, TRIPLES[::-1]):
        save_triples(folder, 0, triples)
        np.testing.assert_array_equal(load_triples(folder, 0), triples, strict=True)


def test_the_two_newest_files_of_one_history_are_kept(tmp_path):
    (tmp_path / "notes.txt").touch()
    for epoch in (0, 1, 9, 10):
        save_triples(tmp_path, epoch, TRIPLES)
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", "epoch-9.npy", "epoch-10.npy"}
    save_triples(tmp_path, 9, TRIPLES)  # the run resumed from an older checkpoint
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", "epoch-9.npy"}


def test_a_damaged_file_or_another_array_is_treated_as_absent(tmp_path):
    save_triples(tmp_path, 4, TRIPLES)
    file = tmp_path / "epoch-4.npy"
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        assert load_triples(tmp_path, 4) is None
    for position in range(6):
        file.write_bytes(whole[:position] + b"\0" + whole[position + 1 :])
        assert load_triples(tmp_path, 4) is None
    file.write_bytes(whole.replace(b"(2, 3)", b"(2, (("))  # NumPy's header reader raises a tokenizer's error
    assert load_triples(tmp_path, 4) is None
    for other in (TRIPLES.astype(float), TRIPLES[:, :2], TRIPLES[0], np.array([{}], dtype=object)):
        np.save(file, other)
        assert load_triples(tmp_path, 4) is None
