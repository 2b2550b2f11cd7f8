"""`visualize.py rankings`: the order against brute force, the choice of queries, the page."""

import functools
import re

import numpy as np
import pytest
from helpers.commands import command
from helpers.embedded_sets import embedded_set, image_list
from helpers.html_page import Parsed
from PIL import Image
from scipy.spatial.distance import cdist

from runtime.errors import UserError
from runtime.printable import parts_of, shorten
from visualization.kit.card_page import draw_cards, fit, font_of, render_cards, wrap
from visualization.kit.cards import Card, Page, Section, Verdict
from visualization.kit.thumbnails import from_pixels, open_small
from visualization.rankings import command as rankings_command
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.embedded_set import Lists, assemble_set

ODD = 'ü <b>&"é 日本'  # a name that HTML must escape and fonts may not have


def random_set(seed, together, excluder):
    """Small whole-number embeddings with many ties: lists, embeddings, and both as a set."""
    random = np.random.default_rng(seed)
    sides = []
    for count, prefix in [(30, "q")] if together else [(30, "q"), (50, "g")]:
        identities = random.choice(["a", "b", "c", "0000", "-1"], count)
        sides.append(image_list(identities, random.choice(["1", "2"], count).astype(object), prefix))
    lists = Lists(sides[0], sides[-1], excluder)
    emb = random.integers(-2, 3, (len(lists.files()), 3)).astype(np.float32)
    return lists, emb, assemble_set(lists, emb, "euclidean", title="t", facts={})


def brute_force(lists, emb, query):
    """(distance, right) of all ranked images, by distance; at equal distances the wrong one first."""
    own, gallery, first = lists.query, lists.gallery, 0 if lists.together else len(lists.query)
    distances = cdist(emb[[query]], emb[first:])[0]
    right = gallery.identities == own.identities[query]
    out = gallery.paths == own.paths[query]
    if lists.excluder == "market1501":
        out = (gallery.identities == "-1") | (right & (gallery.cameras == own.cameras[query]))
    return sorted(zip(distances[~out], right[~out], strict=True))  # False, the wrong one, before True


@pytest.mark.parametrize(("together", "excluder"), [(True, "diagonal"), (False, "diagonal"), (False, "market1501")])
@pytest.mark.parametrize("top", [1, 7, 500])
def test_the_ranking_is_that_of_sorting_all_distances(together, excluder, top):
    for seed in range(5):
        lists, emb, embedded = random_set(seed, together, excluder)
        rows = np.arange(len(embedded.task.queries))[::-1]  # in the order asked for
        for ranking in find_rankings(embedded, rows, top):
            expected = brute_force(lists, emb, ranking.query)
            assert [r.distance for r in ranking.top] == pytest.approx([d for d, _ in expected[:top]], abs=1e-6)
            assert [r.right for r in ranking.top] == [right for _, right in expected[:top]]
            assert [r.rank for r in ranking.top] == list(range(1, len(ranking.top) + 1))
            shown = [r.index for r in ranking.top]
            assert len(set(shown)) == len(shown)
            same = lists.gallery.identities[shown] == lists.query.identities[ranking.query]
            assert same.tolist() == [r.right for r in ranking.top]
            hits = [place for place, (_, right) in enumerate(expected, 1) if right]
            assert (ranking.first.rank, ranking.last.rank, ranking.matches) == (hits[0], hits[-1], len(hits))
            assert ranking.nearest_wrong.distance == pytest.approx(next(d for d, right in expected if not right))
            assert ranking.ap == pytest.approx(np.mean([i / rank for i, rank in enumerate(hits, 1)]))


def test_the_choice_of_queries():
    _, _, embedded = random_set(3, True, "diagonal")
    metrics = rank_queries(embedded)
    order = sorted(range(len(metrics.aps)), key=lambda i: (-metrics.aps[i], -metrics.margins[i], i))
    assert [row for _, row in choose_queries(metrics, 4, "best", 0)] == order[:4]
    assert [row for _, row in choose_queries(metrics, 4, "worst", 0)] == order[::-1][:4]
    mixed = choose_queries(metrics, 12, "mixed", 0)
    assert [kind for kind, _ in mixed] == ["worst"] * 4 + ["best"] * 4 + ["random"] * 4
    assert len({row for _, row in mixed}) == 12
    assert [kind for kind, _ in choose_queries(metrics, 1, "mixed", 0)] == ["worst"]
    assert len(choose_queries(metrics, 999, "mixed", 0)) == len(metrics.aps)
    assert [row for _, row in choose_queries(metrics, 1, "all", 0)] == list(range(len(metrics.aps)))

    # Random ones do not depend on the metrics: the same for all checkpoints.
    others = type(metrics)(metrics.aps[::-1], metrics.margins, metrics.first_ranks)
    again = choose_queries(others, 12, "mixed", 0)
    assert [c for c in again if c[0] == "random"] == [c for c in mixed if c[0] == "random"]


def test_margins_are_in_the_unit_of_the_metric():
    emb = [[0, 0], [3, 4], [0, 2]]
    for metric, margins in {"euclidean": (2 - 5, 13**0.5 - 5), "sqeuclidean": (4 - 25, 13 - 25)}.items():
        metrics = rank_queries(embedded_set(emb, ["a", "a", "b"], metric=metric))
        assert metrics.margins == pytest.approx(margins, rel=1e-5)


@pytest.fixture
def rankings(files):
    """Runs `rankings` on the file of embeddings."""
    return functools.partial(command, "visualize.py", "rankings", "--query_embeddings", files / "x.h5")


def test_the_page_of_files_of_embeddings(files, tmp_path, rankings):
    words = ["--query_dataset", files / "x.csv", "--out", tmp_path / "page.html", "--show", "all", "--top", "30"]
    code, said, _ = rankings(*words)
    assert code == 0
    assert "\nwrote " in said
    page = Parsed(tmp_path / "page.html")
    assert not page.all("b")  # a name did not become markup
    assert not page.all("script")
    assert "<b>id 3 & 車" in page.words
    titles = [figure["title"] for figure in page.all("figure")]
    assert any("Größe <3> $.png" in title for title in titles)
    for text in (page.words, said):
        assert "1 query has no match and is not shown" in text
        assert "Images that cannot be opened: 2, the first is" in text
    assert "cosine" in page.words  # the metric of the training, from the file
    queries = [figure for figure in page.all("figure") if figure["class"] == "query"]
    assert len(queries) == page.words.count("query · AP") == 40
    gone = sum("<1>" in title or "<2>" in title for title in titles)
    assert page.words.count("cannot be opened") == gone + 1  # and the note


def test_the_list_is_optional_and_one_query_can_be_named(files, tmp_path, rankings):
    assert "has no match for it" in rankings("--image_root", files, "--query", "x" * 90 + ".png").stderr
    words = ["--image_root", files, "--query", "Größe <5> $.png", "--metric", "euclidean"]
    assert rankings(*words, "--out", tmp_path / "one.png").returncode == 0
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width < 2500
        assert picture.height < 500


def test_what_a_page_cannot_hold_is_answered_with_what_it_can(files, tmp_path, monkeypatch, rankings):
    words = ["--query_dataset", files / "x.csv", "--out", tmp_path / "a.html", "--queries", "3", "--top"]
    assert rankings(*words, "100000").returncode == 0  # limited to the gallery
    monkeypatch.setattr(rankings_command, "_MOST_IMAGES", 15)
    errors = rankings(*words, "6").stderr
    assert re.search(r"3 queries with 6 images .* --top to 3 at most, or show 1 query at most", errors)
    monkeypatch.setattr(rankings_command, "_MOST_IMAGES", 2)
    assert rankings(*words, "6").stderr.endswith("more than a page can hold\n")


def test_right_and_wrong_differ_without_colour():
    picture = Image.new("RGB", (60, 60), "white")
    cards = [Card(picture, ("1",), verdict) for verdict in (Verdict.RIGHT, Verdict.WRONG)]
    drawn = np.asarray(draw_cards(Page("t", "", {}, sections=[Section("", [cards])], legend=False)).convert("L"))
    dark = drawn < 160
    line = dark[np.flatnonzero(dark.sum(axis=1) > 100)[0]]  # along the upper frame of either
    starts = np.flatnonzero(np.diff(line.astype(int)) == 1) + 1
    assert line[starts[0] : starts[0] + 100].all()  # solid
    assert len(starts) > 6  # and dashes
    assert line[[166, 166 + 129]].all()  # which begin and end at the corners


def test_nothing_is_wider_than_its_place():
    for font in (font_of(13), font_of(20, bold=True)):
        for text in ("short", "W" * 300, ODD * 20, "a b " * 90, "not UTF-8 \udcff", ""):
            assert font.getlength(fit(text, font, 100)) <= 100
            assert all(font.getlength(line) <= 100 for line in wrap(text, font, 100))
    assert fit("a\tb\nc", font, 100) == "a b c"
    assert shorten("abcdefgh", 5) == "ab…gh"
    assert shorten("abcde", 5) == "abcde"


def test_a_picture_that_nobody_could_open_is_refused():
    section = Section("", [[Card(None, ("1",))]] * 3000)
    with pytest.raises(UserError, match="show fewer images"):
        draw_cards(Page("t", "", {}, sections=[section]), side=2000)
    assert "cannot be opened" in render_cards(Page("t", "", {}, sections=[Section("", [[Card(None, ())]])]))


@pytest.mark.parametrize(
    ("name", "mode", "size", "shown"),
    [
        ("huge.jpg", "RGB", (3000, 1500), (64, 32)),
        ("portrait.jpg", "CMYK", (40, 90), (28, 64)),
        ("turned.jpg", "L", (40, 20), (20, 40)),
        ("deep.png", "I;16", (80, 50), (64, 40)),
    ],
)
def test_small_images_of_every_kind(tmp_path, name, mode, size, shown):
    exif = Image.Exif()
    exif[0x0112] = 6 if name == "turned.jpg" else 1
    Image.new(mode, size, 40000 if mode == "I;16" else 0).save(tmp_path / name, exif=exif)
    small = open_small(tmp_path / name, 64)
    assert (small.mode, small.size) == ("RGB", shown)
    assert mode != "I;16" or small.getpixel((5, 5)) == (156, 156, 156)  # 40000 / 256


def test_pixels_of_a_network_are_enlarged():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert np.array_equal(np.asarray(from_pixels(pixels, 10))[::3, ::3, 0], pixels[..., 0])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("val/video_70/000001.03.crop.x.jpg", ["val/", "video_", "70/", "000001.03", ".crop.x", ".jpg"]),
        ("ILSVRC2015_val_00003000/3", ["ILSVRC2015_", "val_", "00003000/3"]),
        ("-1", ["-1"]),
        ("1,378.92", ["1,378.92"]),
        ("", [""]),
    ],
)
def test_names_break_at_separators(name, parts):
    assert parts_of(name) == parts
