"""`visualize.py tracks` as a user runs it, on a snippet of a few coloured squares."""

import base64
import json
import re
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
from conftest import ROOT, command, environment
from PIL import Image

from dataset.errors import UserError
from dataset.vid.annotated_frames import read_annotated_frames
from dataset.vid.annotations import Frame, VideoObject
from dataset.vid.crops import crop_window, cut
from dataset.vid.render import annotation_xml
from model.checkpoints import restore_model
from model.embedder import build_embedder
from model.embedding import Embedder
from model.run_folder import RunFolder
from model.tracking import Matching, Tracks, distance_matrix
from model.visualization import animation
from model.visualization.drawing import CAPTION, Mark, State, colour_of, draw_frame, ink_on, shown_size
from model.visualization.tracks_page import Video, tracks_page

WIDTH, HEIGHT = 120, 80
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
# Trackids by frame: number 2 is away for a frame, and a frame has nobody.
PRESENT = [(0, 1, 2), (0, 1), (), (0, 1, 2)]


def make_snippet(folder, present=PRESENT, names=None, size=(WIDTH, HEIGHT)):
    """DIR/frames and DIR/xml: squares that wander to the right; the third reaches beyond the frame."""
    pictures, annotations = folder / "frames <1>", folder / "xml"
    pictures.mkdir(parents=True)
    annotations.mkdir()
    random = np.random.default_rng(0)
    for i, ids in enumerate(present):
        name = names[i] if names else f"{i:06d}"
        picture = Image.fromarray(random.integers(90, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        objects = []
        for k in ids:
            box = (5 + 40 * k + 3 * i, 20, 35 + 40 * k + 3 * i, 50)
            picture.paste(COLOURS[k], tuple(map(int, box)))
            objects.append(VideoObject(k, "n01503061", *map(float, box), occluded=k == 1, generated=False))
        picture.save(pictures / f"{name}.{['JPEG', 'jpg', 'png', 'JPG'][i % 4]}")
        (annotations / f"{name}.xml").write_text(annotation_xml(Frame("val", "s", name, *size, tuple(objects))))
    return pictures, annotations


def tracks(run, snippet, *more):
    pictures, annotations = snippet
    words = ["visualize.py", "tracks", "--model_dir", run, "--frames", pictures, "--annotations", annotations]
    return command(*words, *more)


@pytest.fixture(scope="module")
def snippet(tmp_path_factory):
    return make_snippet(tmp_path_factory.mktemp("snippet"))


@pytest.fixture(scope="module")
def as_gif(trained, snippet, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new"
    done = tracks(trained, snippet, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out, done.stdout


def test_gif(as_gif):
    out, printed = as_gif
    assert sorted(file.name for file in out.iterdir()) == ["tracks.gif", "tracks.html"]
    with Image.open(out / "tracks.gif") as gif:
        assert gif.n_frames == len(PRESENT)
        assert gif.size == draw_frame(Image.new("RGB", (WIDTH, HEIGHT)), [], "", "", 640).size
        assert (gif.info["duration"], gif.info["loop"]) == (200, 0)
    assert re.search(r"^embedding +\d +4 +\d+\.\d +\d +\d +\d$", printed, re.MULTILINE)
    assert re.search(r"^overlap of boxes +4 +4 +100\.0 +0 +1 +1$", printed, re.MULTILINE)
    assert f"wrote {out / 'tracks.gif'} and {out / 'tracks.html'}" in printed


def test_page_has_every_distance_and_needs_no_network(as_gif, trained, snippet, tmp_path):
    page = (as_gif[0] / "tracks.html").read_text(encoding="utf-8")
    frames, _ = read_annotated_frames(*snippet)
    params = RunFolder(trained).load_trained_params()
    model = build_embedder(params)
    restore_model(trained / "checkpoints" / "ckpt-4", model)
    files = []
    for annotated in frames:
        image = Image.open(annotated.picture).convert("RGB")
        for o in annotated.frame.objects:
            files.append(str(tmp_path / f"{len(files)}.jpg"))
            cut(image, crop_window(o.box)).save(files[-1], quality=90)
    emb = Embedder(model, params).embed(files, np.ones(len(files), np.uint8))
    first, second, last = emb[:3], emb[3:5], emb[5:]
    expected = [*distance_matrix(first, second, params.metric).flat, *distance_matrix(second, last, params.metric).flat]
    shown = [float(text) for text in re.findall(r"<td class=[^>]*background[^>]*>([\d.e+-]+)", page)]
    assert len(shown) == 6 + 6
    np.testing.assert_allclose(shown, expected, rtol=6e-3)
    assert page.count('"chosen') == 4
    references = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert len(references) == 1 + 5 + 5
    assert all(reference.startswith("data:image/") for reference in references)
    gif = re.search(r'src="data:image/gif;base64,([^"]*)"', page)[1]
    assert base64.b64decode(gif) == (as_gif[0] / "tracks.gif").read_bytes()
    assert "<1>" not in page
    assert "&lt;1&gt;" in page
    assert "<script" not in page
    assert page.count("not in 000001") == 1


def test_mp4_and_options(trained, snippet, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    options = ["--format", "mp4", "--fps", 2.5, "--width", 101, "--every", 3, "--skip_occluded", "--max_distance", 0]
    done = tracks(run, snippet, *options, "--checkpoint", "ckpt-0", "--context", 0.1)
    assert done.returncode == 0, done.stderr
    out = run / "tracks" / snippet[0].name
    with av.open(out / "tracks.mp4") as video:
        shown = [frame.to_image() for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == 2.5
        assert video.streams.video[0].format.name == "yuv420p"
    assert len(shown) == 2  # frames 0 and 3
    assert shown[0].width == 102
    assert shown[0].height % 2 == 0
    assert re.search(r"^embedding +0 +2 +0\.0 +0 +2 +0$", done.stdout, re.MULTILINE)
    page = (out / "tracks.html").read_text(encoding="utf-8")
    assert 'src="data:video/mp4;base64,' in page
    assert "ckpt-0" in page


def refused(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_mistakes_are_answered_before_tensorflow_is_loaded(trained, snippet, tmp_path):
    pictures, annotations = snippet
    (tmp_path / "empty").mkdir()
    other = make_snippet(tmp_path / "other", names=["a", "b", "c", "d"])
    wrong_size = make_snippet(tmp_path / "size", size=(WIDTH, HEIGHT + 1))
    lonely = make_snippet(tmp_path / "lonely", present=[(), (0, 1)])
    cases = [
        ((tmp_path / "none", annotations), [], "none: no such folder"),
        ((pictures, tmp_path / "none"), [], "none: no such folder"),
        ((pictures, tmp_path / "empty"), [], "no annotations (.xml) in it"),
        ((tmp_path / "empty", annotations), [], "no pictures (.JPEG, .jpg, .png) in it"),
        ((pictures, other[1]), [], "have no frame in common: there is 000000.JPEG, but a.xml"),
        (wrong_size, [], "none of the 4 frames can be used; the first"),
        (wrong_size, [], "the picture is 120x80, its annotation says 120x81"),
        (lonely, [], "fewer than two frames with objects"),
        (snippet, ["--checkpoint", "ckpt-9"], "no checkpoint 'ckpt-9'; there is latest, ckpt-0"),
        (snippet, ["--every", "0"], "--every 0: it must be a number of at least 1"),
        (snippet, ["--fps", "nan"], "--fps nan: it must be from 0.1 to 50"),
        (snippet, ["--max_distance", "-1"], "--max_distance -1"),
        (snippet, ["--width", "0"], "--width 0"),
        (snippet, ["--set", "metrc=cosine"], "did you mean 'metric'"),
        (snippet, ["--out", annotations / "000000.xml"], "cannot write"),
    ]
    # One process for all, in which TensorFlow must not come up.
    check = (
        "import json, sys\n"
        "import visualize\n"
        "from dataset.errors import exit_code\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = exit_code(lambda: visualize.main(words))\n"
        "    print(code, 'tensorflow' in sys.modules)\n"
    )
    words = [
        ["tracks", "--model_dir", str(trained), "--frames", str(a), "--annotations", str(b), *map(str, more)]
        for (a, b), more, _ in cases
    ]
    line = [sys.executable, "-c", check, json.dumps(words)]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    errors = done.stderr.splitlines()
    assert done.stdout.splitlines() == ["2 False"] * len(cases), done.stdout + done.stderr
    assert len(errors) == len(cases)
    for error, (_, _, expected) in zip(errors, cases, strict=True):
        assert error.startswith("error: ")
        assert expected in error
    assert "params.json: no such file" in refused(tracks(tmp_path, snippet))


def test_help_needs_no_numpy():
    check = (
        "import sys, visualize\n"
        "try: visualize.main(['tracks', '--help'])\n"
        "except SystemExit: sys.exit('numpy' in sys.modules or 'tensorflow' in sys.modules)\n"
    )
    done = command("-c", check)
    assert done.returncode == 0, done.stderr
    assert "--max_distance X" in done.stdout
    assert "tracks" in command("visualize.py", "--help").stdout


def test_without_pyav_mp4_is_refused(monkeypatch):
    monkeypatch.setattr(animation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--format mp4 needs PyAV: pip install av"):
        animation.check_format("mp4")
    animation.check_format("gif")


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_a_failed_animation_leaves_nothing(tmp_path, suffix):
    def frames():
        yield Image.new("RGB", (64, 48))
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        animation.write_animation(tmp_path / f"a.{suffix}", frames(), 5)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_used_is_left_out_and_told(tmp_path):
    pictures, annotations = make_snippet(tmp_path, [(0,)] * 6, names=["10", "9", "8", "7", "6", "5"])
    (annotations / "9.xml").write_text("<annotation>")
    (annotations / "8.xml").write_text((annotations / "8.xml").read_text().replace("<trackid>0", "<trackid>x"))
    (annotations / "7.xml").rename(annotations / "3.xml")
    picture = next(pictures.glob("6.*"))
    picture.write_bytes(picture.read_bytes()[:200])
    (pictures / "._10.JPEG").write_bytes(b"")  # of macOS
    frames, lines = read_annotated_frames(pictures, annotations)
    assert [f.frame.name for f in frames] == ["5", "8", "10"]
    assert [len(f.frame.objects) for f in frames] == [1, 0, 1]
    assert "pictures without annotation: 1, annotations without picture: 1" in lines[0]
    assert "8.xml: trackid is 'x'" in lines[1]
    assert str(picture) in lines[2]
    assert "9.xml: malformed XML" in lines[3]
    assert len(lines) == 4
    (pictures / "5.png").write_bytes(b"")
    with pytest.raises(UserError, match="two files for frame 5"):
        read_annotated_frames(pictures, annotations)


def test_labels_stay_in_the_frame_wherever_the_box_is():
    boxes = [(-50, -50, 30, 20), (300, 200, 420, 280), (500, 500, 600, 600), (100, 0, 101, 1), (-9, -9, 999, 999)]
    blank = Image.new("RGB", (320, 240), (128, 128, 128))
    plain = np.asarray(draw_frame(blank, [], "caption", "", 320))
    for state in State:
        for box in boxes:
            drawn = np.asarray(draw_frame(blank, [Mark(box, 12, state)], "caption", "", 320))
            assert drawn.shape == plain.shape
            changed = (drawn != plain).any(-1)
            assert changed.sum() > 300  # a label, at least
            assert not changed[240:].any()  # not on the caption
    assert (plain[240:] == CAPTION).all(-1).any()


def test_labels_of_equal_boxes_lie_side_by_side():
    blank = Image.new("RGB", (320, 240))
    marks = [Mark((100, 100, 200, 200), number) for number in (1, 2, 3)]
    pixels = np.asarray(draw_frame(blank, marks, "", "", 320)).reshape(-1, 3)
    for number in (1, 2):  # the last box covers the others' lines, so that their colours are those of their labels
        assert (pixels == colour_of(number)).all(1).sum() > 100


def test_sizes_and_contrast():
    assert shown_size((1280, 720), 640) == (640, 360)
    assert shown_size((192, 144), 640) == (576, 432)
    assert shown_size((192, 144), 200) == (192, 144)
    assert shown_size((500, 400), 640) == (500, 400)
    assert ink_on((240, 228, 66)) == (0, 0, 0)
    assert ink_on((0, 114, 178)) == (255, 255, 255)


def test_page_shows_all_faults_and_the_first_of_the_others(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF")
    pairs = [((0, 0), (1, 1))] * 9
    pairs[6] = ((0, 1), (1, 0))
    pairs[8] = ((0, 0),)
    matchings = [Matching(i, i + 1, np.eye(2), pair) for i, pair in enumerate(pairs)]
    video = Video([f"f{i}" for i in range(10)], [(0, 1)] * 10, [[b"", b""]] * 10, tmp_path / "a.gif")
    page = tracks_page("t", {}, [["a"], ["b"]], [], video, Tracks(tuple(matchings), ((1, 2),) * 10), 2)
    assert re.findall(r"<h2>(f\d) → f\d</h2>", page) == ["f0", "f1", "f6", "f8"]
    assert "5 more pairs of frames" in page
    assert (page.count(">✗<"), page.count(">✓<")) == (2, 5)
