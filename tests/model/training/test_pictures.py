import numpy as np
import pytest

from model.training.batch_pictures import batch_picture, triplets_picture
from model.training.batch_statistics import Triplet


def test_batch_picture_has_a_column_per_identity():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 3), np.uint8)
    picture = batch_picture(images, batch_k=2)
    assert picture.shape == (2 * 6, 3 * 7, 3)
    assert picture[3::6, 3::7, 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert (picture[0] == 128).all()


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (128, 64, 3), (200, 220, 3), (1, 1, 1)])
def test_triplets_picture_shows_the_images(shape):
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    rows = [Triplet(0, 1, 2, 0.5, 12345.678), Triplet(5, 4, 3, 2.0, 1e-9)]
    picture = triplets_picture(images, rows)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    factor = -(-96 // shape[1])
    height, width = shape[0] * factor, shape[1] * factor
    for row, triplet in enumerate(rows):
        y = 19 + 6 + row * (height + 31) + 3
        for column, index in enumerate(triplet[:3]):
            x = 6 + column * (width + 12) + 3
            shown = picture[y : y + height, x : x + width]
            enlarged = np.kron(images[index], np.ones((factor, factor, 1), np.uint8))
            assert (shown == enlarged).all()


def test_triplets_picture_marks_right_and_wrong():
    images = np.full((3, 96, 96, 3), 255, np.uint8)

    def colours(d_ap, d_an):
        picture = triplets_picture(images, [Triplet(0, 1, 2, d_ap, d_an)]).astype(int)
        positive = picture[60, 6 + 108]  # on the frame
        assert (picture[60, 6 + 2 * 108] == positive).all()
        below = picture[25 + 102 : 25 + 102 + 19, 6 + 108 :]
        assert (below < 200).any()  # the distances
        words = picture[25 + 102 : 25 + 102 + 19, 6 + 2 * 108 :].min(axis=2) < 200
        return "green" if positive[1] > positive[0] else "vermilion", words

    (right, said_right), (wrong, said_wrong), (equal, _) = (colours(*d) for d in [(0.5, 0.6), (0.7, 0.6), (0.6, 0.6)])
    assert [right, wrong, equal] == ["green", "vermilion", "vermilion"]
    assert (said_right != said_wrong).any()  # the same distance, another word


def test_triplets_picture_without_triplets():
    assert triplets_picture(np.zeros((2, 32, 32, 1), np.uint8), []).min() < 200  # headings
