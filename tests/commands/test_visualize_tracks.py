"""`visualize.py tracks` as a user runs it, on a snippet of a few coloured squares."""

import base64
import json
import os
import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.commands import command, process
from helpers.html_page import Parsed
from helpers.vid_tree import HEIGHT, PRESENT, WIDTH, make_snippet
from PIL import Image

from dataset.vid.annotated_frames import read_annotated_frames
from dataset.vid.siamfc_crops import DEFAULT, cut
from model.run.run_folder import RunFolder
from visualization.sources.network import load_embed
from visualization.tracks.boxes import draw_frame
from visualization.tracks.tracking import distance_matrix


def words(run, snippet, *more):
    pictures, annotations = snippet
    line = ["visualize.py", "tracks", "--model_dir", run, "--frames", pictures, "--annotations", annotations, *more]
    return [str(word) for word in line]


@pytest.fixture(scope="module")
def snippet(tmp_path_factory):
    return make_snippet(tmp_path_factory.mktemp("snippet"), pictures='frames <1> & "2"')


def test_gif_and_page_of_every_distance(trained, snippet, tmp_path):
    out = tmp_path / "new"
    code, printed, errors = command(*words(trained, snippet, "--out", out))
    assert (code, errors) == (0, "")
    assert sorted(file.name for file in out.iterdir()) == ["tracks.gif", "tracks.html"]
    with Image.open(out / "tracks.gif") as gif:
        assert gif.n_frames == len(PRESENT)
        assert gif.size == draw_frame(Image.new("RGB", (WIDTH, HEIGHT)), [], "", "", 640).size
        assert (gif.info["duration"], gif.info["loop"]) == (200, 0)
    assert re.search(r"^embedding +\d +4 +\d+\.\d +\d +\d +\d$", printed, re.MULTILINE)
    assert re.search(r"^overlap of boxes +4 +4 +100\.0 +0 +1 +1$", printed, re.MULTILINE)
    for line in ("cropped 4 of 4 frames", "embedded 8 of 8 objects", "drew 4 of 4 frames"):
        assert f"{line} in 0:0" in printed
    assert f"wrote {out / 'tracks.gif'} and {out / 'tracks.html'}" in printed

    params, files = RunFolder(trained).load_trained_params(), []
    for annotated in read_annotated_frames(*snippet)[0]:
        image = Image.open(annotated.picture).convert("RGB")
        for o in annotated.frame.objects:
            files.append(str(tmp_path / f"{len(files)}.jpg"))
            cut(image, DEFAULT.window(o.box)).save(files[-1], quality=90)
    emb = load_embed(trained / "checkpoints" / "ckpt-4", params)(files, np.ones(len(files), np.uint8), "objects")
    expected = [distance_matrix(a, b, params.metric) for a, b in ((emb[:3], emb[3:5]), (emb[3:5], emb[5:]))]
    page = (out / "tracks.html").read_text(encoding="utf-8")
    shown = [float(text) for text in re.findall(r"<td class=[^>]*background[^>]*>([\d.e+-]+)", page)]
    np.testing.assert_allclose(shown, np.concatenate([matrix.ravel() for matrix in expected]), rtol=6e-3)
    assert page.count('"chosen') == 4
    references = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert len(references) == 1 + 3 + 2 + 3
    assert all(reference.startswith("data:image/") for reference in references)
    gif = re.search(r'src="data:image/gif;base64,([^"]*)"', page)[1]
    assert base64.b64decode(gif) == (out / "tracks.gif").read_bytes()
    assert 'frames <1> & "2"' in Parsed(out / "tracks.html").words
    assert "<script" not in page
    assert page.count("not in 000001") == 1


def test_mp4_and_options(trained, snippet, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    out = run / "tracks" / snippet[0].name
    options = ["--format", "mp4", "--fps", 2.5, "--width", 101, "--every", 3, "--skip_occluded", "--max_distance", 0]
    code, printed, errors = command(*words(run, snippet, *options, "--checkpoint", "ckpt-0", "--context", 0.1))
    assert (code, errors) == (0, "")
    assert sorted(file.name for file in out.iterdir()) == ["tracks.html", "tracks.mp4"]
    with av.open(out / "tracks.mp4") as video:
        shown = [frame.to_image() for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == 2.5
        assert video.streams.video[0].format.name == "yuv420p"
    assert len(shown) == 2  # frames 0 and 3
    assert shown[0].width == 102
    assert shown[0].height % 2 == 0
    assert re.search(r"^embedding +0 +2 +0\.0 +0 +2 +0$", printed, re.MULTILINE)
    page = (out / "tracks.html").read_text(encoding="utf-8")
    assert 'src="data:video/mp4;base64,' in page
    assert 'aria-label="the video' in page
    assert "ckpt-0" in page

    # The same frames replace old files; frames of another folder with that name do not.
    (out / "notes.txt").touch()
    assert command(*words(run, snippet, "--every", 3))[0] == 0
    assert sorted(file.name for file in out.iterdir()) == ["notes.txt", "tracks.gif", "tracks.html"]
    page = (out / "tracks.html").read_bytes()
    code, _, error = command(*words(run, make_snippet(tmp_path / "other", pictures=snippet[0].name)))
    assert code == 2
    assert f"tracks.html exists and shows the frames of {snippet[0].resolve()}" in error
    assert (out / "tracks.html").read_bytes() == page


def test_a_folder_whose_name_is_not_utf8(trained, tmp_path):
    try:
        snippet = make_snippet(tmp_path, names=["0", "1", "2", "3"], pictures=os.fsdecode(b"caf\xe9"))
    except OSError:
        pytest.skip("this file system has no such names")
    (snippet[1] / "2.xml").unlink()
    picture = snippet[0] / "1.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    run = shutil.copytree(trained, tmp_path / "run")
    code, printed, errors = command(*words(run, snippet))
    assert (code, errors) == (0, "")
    assert f"skipped frame: {tmp_path}/caf\N{REPLACEMENT CHARACTER}/1.jpg" in printed
    assert "caf\N{REPLACEMENT CHARACTER}/tracks.html" in printed
    page = (run / "tracks" / snippet[0].name / "tracks.html").read_text(encoding="utf-8")
    assert "<title>Objects of caf\N{REPLACEMENT CHARACTER} matched" in page
    assert command(*words(run, snippet))[0] == 0


def test_the_network_is_restored_before_frames_are_cropped(trained, snippet, tmp_path):
    code, printed, error = command(*words(trained, snippet, "--set", "embedding_size=9", "--out", tmp_path / "out"))
    assert code == 2
    assert "a checkpoint of another architecture" in error
    assert "cropped" not in printed
    assert not (tmp_path / "out").exists()


def test_help_and_mistakes_are_answered_before_tensorflow_is_loaded(trained, snippet, tmp_path):
    pictures, annotations = snippet
    (tmp_path / "empty").mkdir()
    other = make_snippet(tmp_path / "other", names=["a", "b", "c", "d"])
    wrong_size = make_snippet(tmp_path / "size", size=(WIDTH, HEIGHT + 1))
    lonely = make_snippet(tmp_path / "lonely", present=[(), (0, 1), (0, 1)])
    (lonely[1] / "000002.xml").write_text("<annotation>")
    occluded = make_snippet(tmp_path / "occluded", present=[(0, 1), (1,)])
    long = make_snippet(tmp_path / "long", present=[(0,)] * 501)
    out = ["--out", tmp_path / "out"]
    cases = [
        ((tmp_path / "none", annotations), [], "none: no such folder"),
        ((pictures, tmp_path / "none"), [], "none: no such folder"),
        ((pictures, tmp_path / "empty"), [], "no annotations (.xml) in it"),
        ((tmp_path / "empty", annotations), [], "no pictures (.JPEG, .jpg, .png) in it"),
        ((pictures, other[1]), [], "have no frame in common"),
        ((Path("/"), annotations), [], "--frames /: this folder has no name; name"),
        (wrong_size, [], "no frame can be used; the first of 4: "),
        (wrong_size, [], "the picture is 120x80, but its annotation says 120x81"),
        (lonely, out, "1 of 2 frames has objects; matching needs two"),
        (occluded, [*out, "--skip_occluded"], "1 of 2 frames has objects that are not occluded"),
        (long, out, "501 frames of 480x320: --format gif keeps them in memory and takes at most 500"),
        (snippet, [*out, "--checkpoint", "ckpt-9"], "no checkpoint 'ckpt-9'; it has latest, ckpt-0"),
        (snippet, [*out, "--every", "0"], "--every: 0: it must be a whole number of at least 1"),
        (snippet, [*out, "--fps", "nan"], "--fps: nan: it must be a number between 0.1 and 50"),
        (snippet, [*out, "--max_distance", "-1"], "--max_distance: "),
        (snippet, [*out, "--width", "0"], "--width: "),
        (snippet, [*out, "--sections", "-1"], "--sections: "),
        (snippet, [*out, "--set", "metrc=cosine"], "did you mean 'metric'"),
        (snippet, [*out, "--device", "tpu"], "--device 'tpu': it must be auto, cpu, gpu or gpu:N"),
        (snippet, ["--out", annotations / "000000.xml"], "cannot write"),
        (snippet, ["--model_dir", tmp_path], "params.json: no such file"),
    ]
    # One process for all cases, without TensorFlow; --help needs no NumPy either.
    check = (
        "import json, sys\n"
        "import visualize\n"
        "from runtime.errors import exit_code\n"
        "for words in (['--help'], ['tracks', '--help']):\n"
        "    try: visualize.main(words)\n"
        "    except SystemExit: pass\n"
        "assert 'numpy' not in sys.modules\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = exit_code(lambda: visualize.main(words))\n"
        "    print('ended', code, 'tensorflow' in sys.modules)\n"
    )
    done = process("-c", check, json.dumps([words(trained, folders, *more)[1:] for folders, more, _ in cases]))
    errors, printed = done.stderr.splitlines(), done.stdout.splitlines()
    ends = [text for text in printed if text.startswith("ended")]
    assert ends == ["ended 2 False"] * len(cases), done.stdout + done.stderr
    assert "--max_distance N" in done.stdout
    assert "visualize.py COMMAND --help" in done.stdout
    assert any("skipped frame" in text and "000002.xml: malformed XML" in text for text in printed)
    assert len(errors) == len(cases)
    for error, (_, _, expected) in zip(errors, cases, strict=True):
        assert error.startswith("error: ")
        assert expected in error
    assert not (tmp_path / "out").exists()
    assert not (trained / "tracks").exists()
