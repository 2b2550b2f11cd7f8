"""`visualize.py rankings`: the order against a brute-force one, whose are shown, the page. `analyze`: its page."""

import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import command, process
from helpers.embedded_sets import embedded_set, image_list
from helpers.embedding_files import write_embeddings
from helpers.html_page import Parsed
from PIL import Image
from scipy.spatial.distance import cdist

from dataset.formats.manifest import Manifest, read_manifest
from model.embedding.hdf5_file import read_embeddings
from model.evaluation.by_class.analysis import RANKING_METRICS
from model.metrics.ranking.retrieval import evaluate_retrieval
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import read_json_lines
from visualization.analyze.command import count_tenths
from visualization.kit.card_page import draw_cards, fit, font_of, render_cards, wrap
from visualization.kit.cards import Card, Page, Section, Verdict
from visualization.kit.printable import shorten
from visualization.kit.thumbnails import from_pixels, open_small
from visualization.rankings import command as rankings_command
from visualization.rankings.ranked import choose_queries, find_rankings, rank_queries
from visualization.sources.embedded_set import Lists, assemble_set

ODD = 'ü <b>&"é 日本'  # a name that HTML must escape and fonts may not have


def random_set(seed, together, excluder):
    """Small whole-number embeddings, so that ties abound: lists, embeddings, and both as a set."""
    random = np.random.default_rng(seed)
    sides = []
    for count, prefix in [(30, "q")] if together else [(30, "q"), (50, "g")]:
        identities = random.choice(["a", "b", "c", "0000", "-1"], count)
        sides.append(image_list(identities, random.choice(["1", "2"], count).astype(object), prefix))
    lists = Lists(sides[0], sides[-1], excluder)
    emb = random.integers(-2, 3, (len(lists.files()), 3)).astype(np.float32)
    return lists, emb, assemble_set(lists, emb, "euclidean", title="t", facts={})


def brute_force(lists, emb, query):
    """(distance, right) of all that is ranked, in order: by distance, at equal ones the wrong one first."""
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
        assert "1 queries have no match and are not shown" in text
        assert "Images that cannot be opened: 2, the first is" in text
    assert "cosine" in page.words  # what the file says of its training
    queries = [figure for figure in page.all("figure") if figure["class"] == "query"]
    assert len(queries) == page.words.count("query · AP") == 40
    gone = sum("<1>" in title or "<2>" in title for title in titles)
    assert page.words.count("cannot be opened") == gone + 1  # and the note


def test_the_list_may_be_left_out_and_one_query_named(files, tmp_path, rankings):
    assert "has no match for it" in rankings("--image_root", files, "--query", "x" * 90 + ".png").stderr
    words = ["--image_root", files, "--query", "Größe <5> $.png", "--metric", "euclidean"]
    assert rankings(*words, "--out", tmp_path / "one.png").returncode == 0
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width < 2500
        assert picture.height < 500


def test_what_a_page_cannot_hold_is_answered_with_what_it_can(files, tmp_path, monkeypatch, rankings):
    words = ["--query_dataset", files / "x.csv", "--out", tmp_path / "a.html", "--queries", "3", "--top"]
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
        draw_cards(Page("t", {}, sections=[section]), side=2000)
    assert "cannot be opened" in render_cards(Page("t", {}, sections=[Section("", [[Card(None, ())]])]))


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


def test_histogram_counts_each_class_once() -> None:
    shares = [0, 0.1, 3 / 10, 0.3 - 1e-3, 0.999, 1.0]
    assert count_tenths(shares) == [1, 1, 1, 1, 0, 0, 0, 0, 0, 2]
    assert count_tenths([]) == [0] * 10


@pytest.fixture
def images(files: Path) -> Manifest:
    """The list of the files of embeddings, whose rows are numbered as those of the file."""
    return read_manifest(files / "x.csv", files)


def test_table_json_and_page(files: Path, images: Manifest, tmp_path: Path) -> None:
    """One set of figures in all three, and the page is whole, with every name as text."""
    words = ["--query_embeddings", files / "x.h5", "--query_dataset", files / "x.csv", "--out", tmp_path]
    code, printed, _ = command("visualize.py", "analyze", *words, "--classes", 3, "--pairs", 20)
    assert code == 0
    got = json.loads((tmp_path / "analysis.json").read_text())
    json.dumps(got, allow_nan=False)  # there is none in it
    emb = read_embeddings(files / "x.h5").emb
    result = evaluate_retrieval(emb, emb, images, images, "diagonal", "cosine")
    assert got["metrics"] == {name: result.metrics[name] for name in RANKING_METRICS}
    assert got["counts"]["queries_skipped_identity_absent"] == 1
    assert sum(one["queries"] for one in got["classes"]) == 40
    assert got["counts"]["queries_wrong"] >= 4
    for name in ("confusions", "confused_pairs"):
        assert sum(one["count"] for one in got[name]) == got["counts"]["queries_wrong"]
    assert {one["class"] for one in got["classes"]} == set(images.identities) - {"alone"}
    assert all(low <= one["recall@1"] <= high for one in got["classes"] for low, high in [one["recall@1_interval"]])

    over_queries = next(line.split()[3:] for line in printed.splitlines() if line.startswith("mean over queries"))
    shares = [f"{100 * got['metrics'][name]:.2f}" for name in RANKING_METRICS[:-2]]
    assert over_queries == [*shares, *(f"{got['metrics'][name]:,.2f}" for name in RANKING_METRICS[-2:])]
    hardest = next(line for line in printed.splitlines() if line.strip().startswith(got["classes"][0]["class"]))
    assert f"{100 * got['classes'][0]['recall@1']:.2f}" in hardest
    assert "hardest classes, 3 of 10" in printed
    assert "2 of the examples' images cannot be opened" in printed

    page = Parsed(tmp_path / "analysis.html")
    assert not page.all("b")  # names did not become markup
    for text in ("<b>id 2 & 車", "ckpt-<7>", "Größe <3> $.png", "cannot be opened", *over_queries):
        assert text in page.words
    assert page.all("img")
    tenths = ", ".join(map(str, count_tenths(one["recall@1"] for one in got["classes"])))
    assert f"by recall@1: {tenths} in each tenth" in page.all("svg")[0]["aria-label"]


def test_without_pictures_and_without_tensorflow(files: Path, tmp_path: Path) -> None:
    """The file alone: it tells its images itself; where they are is not known, and nothing but the page lacks them."""
    code = "import sys; sys.modules['tensorflow'] = None; import visualize; sys.exit(visualize.main(sys.argv[1:]))"
    done = process("-c", code, "analyze", "--query_embeddings", files / "x.h5", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "--image_root" in done.stdout
    assert not Parsed(tmp_path / "page.html").all("img")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_query_against_gallery(files: Path, images: Manifest, tmp_path: Path) -> None:
    """Numbers of images are those of either list; both files are named one by one, and written where they are named."""
    emb = read_embeddings(files / "x.h5").emb
    parts = [np.arange(8), np.arange(8, len(emb))]
    lists = [images.select(rows) for rows in parts]
    words = ["--excluder", "diagonal", "--image_root", files, "--metric", "cityblock"]
    for name, rows, part in zip(("query", "gallery"), parts, lists, strict=True):
        write_embeddings(tmp_path / f"{name}.h5", emb[rows], part, {})
        words += [f"--{name}_embeddings", tmp_path / f"{name}.h5"]
    outputs = ["--out", tmp_path / "a.json", "--out", tmp_path / "b.HTML"]
    assert command("visualize.py", "analyze", *words, *outputs).returncode == 0
    got = json.loads((tmp_path / "a.json").read_text())
    result = evaluate_retrieval(*(emb[rows] for rows in parts), *lists, "diagonal", "cityblock")
    assert got["metrics"] == {name: result.metrics[name] for name in RANKING_METRICS}
    place = {path: number for number, path in enumerate(images.paths)}
    assert len(got["confusions"]) == 2
    for one in got["confusions"]:
        query, image = place[one["example"]["query"]], place[one["example"]["image"]]
        assert images.identities[[query, image]].tolist() == [one["query_class"], one["found_class"]]
        assert one["example"]["distance"] == pytest.approx(np.abs(emb[query] - emb[image]).sum(), rel=1e-5)
    assert Parsed(tmp_path / "b.HTML").all("img")


@pytest.mark.slow
def test_of_a_run(run: RunFolder) -> None:
    """The network embeds the set, and the figures are those that the evaluator writes of that checkpoint."""
    done = command("evaluate.py", "--model_dir", run.folder, "--once")
    assert done.returncode == 0, done.stderr
    lines = {line["set"]: line for line in read_json_lines(run.results)}
    for name in ("test", "query_gallery"):
        assert command("visualize.py", "analyze", "--model_dir", run.folder, "--eval_set", name).returncode == 0
        got = json.loads((run.folder / "pictures" / "analysis.json").read_text())
        assert got["facts"]["set"] == name
        assert got["counts"]["queries_used"] == lines[name]["counts"]["queries_used"]
        assert got["metrics"] == pytest.approx({key: lines[name]["metrics"][key] for key in RANKING_METRICS}, abs=1e-6)
        assert Parsed(run.folder / "pictures" / "analysis.html").all("img")
