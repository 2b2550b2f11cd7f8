"""What `visualize.py distances`, `embedding` and `attention` say of mistakes: one line."""

import numpy as np
import pytest
from helpers.commands import command
from helpers.embedded_sets import image_list
from helpers.embedding_files import write_embeddings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("distances --fpr 0", "--fpr: 0: it must be a number between 0 and 1"),
        ("distances --fpr nan", "--fpr: nan: it must be a number between 0 and 1"),
        ("distances --out x.gif", "its name must end in"),
        ("distances --out no/such/folder/x.png", "does not exist; make it first"),
        ("distances --metric manhattan", "--metric: invalid choice: 'manhattan'"),
        ("embedding --images 2", "--images: 2: it must be a whole number between 3 and 20000"),
        ("embedding --identities 25", "--identities: 25: it must be a whole number between 0 and 24"),
        ("embedding --perplexity nan", "--perplexity: nan: it must be a number between 1 and 1000"),
        ("embedding --seed -1", "--seed: -1: it must be a whole number"),
        ("embedding --thumbnails", "give --image_root"),
        ("attention --queries 0", "--queries: 0: it must be a whole number between 1 and 60"),
        ("attention --seed -1", "--seed: -1: it must be a whole number of at least 0"),
        ("attention --pair no.jpg such.jpg", "--pair no.jpg: there is no such file"),
        (f"attention --pair {__file__} {__file__}", "test_visualize_mistakes.py: "),
        ("attention" + 61 * " --pair a b", "--pair: 61 pairs; one picture holds 60"),
        ("attention --out x.txt", "its name must end in"),
    ],
)
def test_mistakes_are_one_line(trained, files, words, message):
    source = ["--model_dir", trained] if words.startswith("attention") else ["--query_embeddings", files / "x.h5"]
    code, _, errors = command("visualize.py", *words.split(), *source)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1


def test_no_positives_is_told(tmp_path):
    write_embeddings(tmp_path / "x.h5", np.eye(2), image_list(["a", "b"]), {})
    code, _, errors = command("visualize.py", "distances", "--query_embeddings", tmp_path / "x.h5")
    assert code == 2
    assert "none of the 2 queries" in errors
