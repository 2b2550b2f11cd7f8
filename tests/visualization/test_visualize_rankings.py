"""Rankings: the order against a brute-force one, which queries are shown, and the page and picture themselves."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command
from helpers.embedded_sets import embedded_set
from helpers.embedding_files import write_embeddings
from helpers.html_page import Parsed
from PIL import Image

from dataset.formats.manifest import Manifest, write_manifest
from model.metrics.ranking.retrieval import evaluate_retrieval
from runtime.errors import UserError
from visualization.kit.card_page import draw_cards, fit, font_of, render_cards, wrap
from visualization.kit.cards import Card, Page, Section, Verdict
from visualization.kit.printable import shorten
from visualization.kit.thumbnails import from_pixels, open_small
from visualization.rankings import command as rankings_command
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.embedded_set import Lists, assemble_set

ODD = 'ü <b>&"é 日本'  # a name that HTML must escape and fonts may not have


def random_set(seed: int, together: bool, excluder: str, metric: str = "euclidean"):
    """Small whole-number embeddings, so that ties abound."""
    random = np.random.default_rng(seed)

    def side(count: int, prefix: str) -> Manifest:
        identities = random.choice(["a", "b", "c", "0000", "-1"], count).astype(object)
        paths = np.array([f"{prefix}{i}.jpg" for i in range(count)], object)
        cameras = random.choice(["1", "2"], count).astype(object)
        return Manifest(identities, paths, Path("x"), Path("x.csv"), cameras)

    query = side(30, "q")
    gallery = query if together else side(50, "g")
    lists = Lists(query, gallery, excluder)
    emb = random.integers(-2, 3, (len(lists.files()), 3)).astype(np.float32)
    return lists, emb, assemble_set(lists, emb, metric, title="t", facts={})


def brute_force(lists: Lists, emb: np.ndarray, excluder: str, query: int) -> list[tuple[float, bool]]:
    """(distance, right) of all that is ranked, in order: by distance, at equal ones the wrong one first."""
    gallery, rows = lists.gallery, emb[: len(lists.query)].astype(float)
    targets = rows if lists.together else emb[len(lists.query) :].astype(float)
    entries = []
    for i, (identity, path, camera) in enumerate(zip(gallery.identities, gallery.paths, gallery.cameras, strict=True)):
        same = identity == lists.query.identities[query]
        if excluder == "diagonal":
            out = path == lists.query.paths[query]
        else:
            out = identity == "-1" or (same and camera == lists.query.cameras[query])
        if not out:
            entries.append((float(np.sqrt(((rows[query] - targets[i]) ** 2).sum())), bool(same)))
    return sorted(entries)  # False, the wrong one, before True


@pytest.mark.parametrize(("together", "excluder"), [(True, "diagonal"), (False, "diagonal"), (False, "market1501")])
@pytest.mark.parametrize("top", [1, 7, 500])
def test_the_ranking_is_that_of_sorting_all_distances(together, excluder, top):
    for seed in range(5):
        lists, emb, embedded = random_set(seed, together, excluder)
        rows = np.arange(len(embedded.task.queries))[::-1]  # in the order asked for
        aps = evaluate_retrieval(
            emb[: len(lists.query)],
            emb if together else emb[len(lists.query) :],
            lists.query,
            lists.gallery,
            excluder,
            "euclidean",
        ).per_query["map"]
        for ranking in find_rankings(embedded, rows, top):
            expected = brute_force(lists, emb, excluder, ranking.query)
            assert [r.distance for r in ranking.top] == pytest.approx([d for d, _ in expected[:top]], abs=1e-6)
            assert [r.right for r in ranking.top] == [right for _, right in expected[:top]]
            assert [r.rank for r in ranking.top] == list(range(1, len(ranking.top) + 1))
            assert len({r.index for r in ranking.top}) == len(ranking.top)
            for entry in ranking.top:
                same = lists.gallery.identities[entry.index] == lists.query.identities[ranking.query]
                assert same == entry.right
            hits = [place for place, (_, right) in enumerate(expected, 1) if right]
            assert (ranking.first.rank, ranking.last.rank, ranking.matches) == (hits[0], hits[-1], len(hits))
            wrong = [distance for distance, right in expected if not right]
            assert ranking.nearest_wrong.distance == pytest.approx(wrong[0])
            assert ranking.ap == pytest.approx(np.mean([i / rank for i, rank in enumerate(hits, 1)]))
            assert ranking.ap == aps[ranking.query]


def test_the_choice_of_queries():
    _, _, embedded = random_set(3, True, "diagonal")
    figures = rank_queries(embedded)
    order = sorted(range(len(figures.aps)), key=lambda i: (-figures.aps[i], -figures.margins[i], i))
    assert [row for _, row in choose_queries(figures, 4, "best", 0)] == order[:4]
    assert [row for _, row in choose_queries(figures, 4, "worst", 0)] == order[::-1][:4]
    mixed = choose_queries(figures, 12, "mixed", 0)
    assert [kind for kind, _ in mixed] == ["worst"] * 4 + ["best"] * 4 + ["random"] * 4
    assert len({row for _, row in mixed}) == 12
    assert [kind for kind, _ in choose_queries(figures, 1, "mixed", 0)] == ["worst"]
    assert len(choose_queries(figures, 999, "mixed", 0)) == len(figures.aps)
    assert [row for _, row in choose_queries(figures, 1, "all", 0)] == list(range(len(figures.aps)))

    # Random ones are the same whatever the figures are: seen from checkpoint to checkpoint.
    others = type(figures)(figures.aps[::-1], figures.margins)
    again = choose_queries(others, 12, "mixed", 0)
    assert [c for c in again if c[0] == "random"] == [c for c in mixed if c[0] == "random"]


def test_margins_are_in_the_unit_of_the_metric():
    emb = [[0, 0], [3, 4], [0, 2]]
    for metric, margins in {"euclidean": (2 - 5, 13**0.5 - 5), "sqeuclidean": (4 - 25, 13 - 25)}.items():
        metrics = rank_queries(embedded_set(emb, ["a", "a", "b"], metric=metric))
        assert metrics.margins == pytest.approx(margins, rel=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of every kind, a list of them, and embeddings in which identities are apart."""
    folder = tmp_path_factory.mktemp("rankings")
    random = np.random.default_rng(0)
    names = ["landscape.jpg", "portrait.jpg", "grey.png", "deep.png", "see through.png", "x" * 90 + ".jpg"]
    names += [f"{ODD}.jpg", "huge.jpg", "palette.png", "cmyk.jpg", "gone.jpg", "last.jpg"]
    sizes = {"portrait.jpg": (40, 90), "huge.jpg": (3000, 1500)}
    rows = []
    for number, name in enumerate(names):
        width, height = sizes.get(name, (80, 50))
        noise = random.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((width, height))
        if name == "deep.png":
            image = Image.fromarray(np.full((50, 80), 40000, np.uint16))
        kinds = {"grey.png": "L", "see through.png": "RGBA", "palette.png": "P", "cmyk.jpg": "CMYK"}
        if name in kinds:
            image = image.convert(kinds[name])
        if name != "gone.jpg":
            image.save(folder / name)
        rows.append((f"{ODD if number % 3 == 0 else 'class'} {number % 4}", name))
    rows.append(("alone", "alone.jpg"))
    Image.new("RGB", (50, 50)).save(folder / "alone.jpg")
    write_manifest(folder / "test.csv", rows)
    manifest = Manifest(*(np.array(x, object) for x in zip(*rows, strict=True)), folder, folder / "test.csv")
    emb = np.array([[i % 4, (i * 7 % 5) / 9] for i in range(len(rows))], np.float32)
    write_embeddings(folder / "e.h5", emb, manifest, {"params": '{"metric": "cosine"}', "step": 7})
    return folder


@pytest.fixture
def rankings(folder):
    """Runs `rankings` on the file of embeddings."""
    return functools.partial(command, "visualize.py", "rankings", "--query_embeddings", folder / "e.h5")


def test_the_page_of_files_of_embeddings(folder, tmp_path, rankings):
    words = ["--query_dataset", folder / "test.csv", "--out", tmp_path / "page.html", "--show", "all", "--top", "30"]
    code, said, _ = rankings(*words)
    assert code == 0
    assert "\nwrote " in said
    page = Parsed(tmp_path / "page.html")
    assert not page.all("b")  # a name did not become markup
    assert not page.all("script")
    assert ODD in page.words
    titles = [figure["title"] for figure in page.all("figure")]
    assert any(f"{ODD}.jpg" in title for title in titles)
    for line in (page.words, said):
        assert "queries have no match and are not shown" in line
        assert "Images that cannot be opened: 1, the first is" in line
    assert "cosine" in page.words  # what the file says of its training
    queries = [figure for figure in page.all("figure") if figure["class"] == "query"]
    assert len(queries) == page.words.count("query · AP")
    gone = sum("gone.jpg" in title for title in titles)
    assert page.words.count("cannot be opened") == gone + 1  # and the note


def test_the_list_may_be_left_out_and_one_query_named(folder, tmp_path, rankings):
    assert "has no match for it" in rankings("--image_root", folder, "--query", "alone.jpg").stderr
    words = ["--image_root", folder, "--query", "grey.png", "--metric", "euclidean", "--out", tmp_path / "one.png"]
    assert rankings(*words).returncode == 0
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width < 2500
        assert picture.height < 500


def test_what_a_page_cannot_hold_is_answered_with_what_it_can(folder, tmp_path, monkeypatch, rankings):
    words = ["--query_dataset", folder / "test.csv", "--out", tmp_path / "a.html", "--queries", "3", "--top"]
    assert rankings(*words, "100000").returncode == 0  # no more than there are
    monkeypatch.setattr(rankings_command, "_MOST_IMAGES", 15)
    errors = rankings(*words, "6").stderr
    assert re.search(r"3 queries with 6 images .* --top to 3 at most, or show 1 queries at most", errors)
    monkeypatch.setattr(rankings_command, "_MOST_IMAGES", 2)
    assert rankings(*words, "6").stderr.endswith("more than a page can hold\n")


def test_right_and_wrong_differ_without_colour():
    picture = Image.new("RGB", (60, 60), "white")
    cards = [Card(picture, ("1",), verdict) for verdict in (Verdict.RIGHT, Verdict.WRONG)]
    drawn = np.asarray(draw_cards(Page("t", {}, sections=[Section("", [cards])], legend=False)).convert("L"))
    dark = drawn < 160  # a line along the upper frame of either
    row = np.flatnonzero(dark.sum(1) > 100)[0]
    line = dark[row]
    runs = np.flatnonzero(np.diff(line.astype(int)) == 1)
    lengths = [np.argmin(line[start + 1 :]) for start in runs]
    assert lengths[0] > 100  # solid
    assert len(lengths) > 6  # and dashes
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
        draw_cards(Page("t", {}, sections=[section]), side=2000)
    assert "cannot be opened" in render_cards(Page("t", {}, sections=[Section("", [[Card(None, ())]])]))


def test_small_images_of_every_kind(folder):
    assert open_small(folder / "gone.jpg", 50) is None
    assert open_small(folder / "test.csv", 50) is None
    for file, size in {"huge.jpg": (64, 32), "portrait.jpg": (28, 64), "grey.png": (64, 40)}.items():
        small = open_small(folder / file, 64)
        assert (small.mode, small.size) == ("RGB", size)
    assert open_small(folder / "deep.png", 50).getpixel((5, 5)) == (156, 156, 156)  # 40000 / 256
    turned = Image.new("RGB", (40, 20), "red")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    assert open_small(folder / "turned.jpg", 50).size == (20, 40)
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert np.array_equal(np.asarray(from_pixels(pixels, 10))[::3, ::3, 0], pixels[..., 0])
