"""Errors and help of visualize.py: one line for each error, and no code in --help."""

import pytest
from helpers.commands import command

from visualize import COMMANDS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rankings", "give --model_dir RUN"),
        ("rankings EMB --model_dir x", "give one of them"),
        ("rankings EMB --checkpoint best", "--checkpoint goes with --model_dir"),
        ("rankings --model_dir x --image_root x", "--image_root goes with --query_embeddings"),
        ("rankings EMB --gallery_dataset x.csv", "needs --gallery_embeddings"),
        ("rankings EMB --gallery_embeddings x.h5", "--excluder is missing"),
        ("rankings EMB LIST --metric l2", "--metric: invalid choice: 'l2' (choose from"),
        ("rankings EMB LIST --excluder mirror", "--excluder: invalid choice: 'mirror' (choose from"),
        ("rankings EMB LIST --out a.gif", "must end in .html or .png"),
        ("rankings EMB LIST --out no/a.png", "does not exist"),
        ("rankings EMB LIST --queries 0", "--queries: 0: it must be a whole number of at least 1"),
        ("rankings EMB LIST --query nobody.jpg", "no query has this path"),
        ("rankings EMB", "the folder of the images is unknown"),
        ("rankings EMB --image_root docs", "no other image either"),
        ("rankings EMB --image_root no", "there is no such folder"),
        ("rankings --query_embeddings no/e.h5", "there is no such folder"),
        ("rankings --model_dir no", "there is no such folder"),
        ("rankings RUN --eval_set val_eval", "it has query_gallery, test"),
        ("analyze EMB --classes -1", "--classes: -1: it must be a whole number of at least 0"),
        ("analyze EMB --memory_gb nan", "greater than 0"),
        ("analyze EMB --out page.txt", "must end in .html or .json"),
        ("analyze EMB --out no/page.html", "does not exist"),
        ("analyze EMB --out a.json --out ./a.json", "named twice"),
        ("analyze --query_embeddings gone.h5 --out page.html", "gone.h5: no such file"),
        ("data", "give --model_dir RUN or --params FILE"),
        ("data --params params.json", "--out is missing"),
        ("data RUN --batches 0", "--batches: 0: it must be a whole number of at least 1"),
        ("data RUN --batches 9999", "more than a page can hold"),
        ("data RUN --out data.gif", "must end in .html or .png"),
        ("batches RUN --step 1 --eval_set test", "give one of them"),
        ("batches RUN --checkpoint ckpt-9", "there is no checkpoint 'ckpt-9'"),
        ("batches RUN --eval_set val_eval", "it has query_gallery, test"),
        ("distances EMB --fpr 0", "--fpr: 0: it must be a number between 0 and 1"),
        ("distances EMB --fpr nan", "--fpr: nan: it must be a number between 0 and 1"),
        ("distances EMB --out x.gif", "its name must end in"),
        ("distances EMB --out no/such/folder/x.png", "does not exist; make it first"),
        ("distances EMB --metric manhattan", "--metric: invalid choice: 'manhattan'"),
        ("embedding EMB --images 2", "--images: 2: it must be a whole number between 3 and 20000"),
        ("embedding EMB --identities 25", "--identities: 25: it must be a whole number between 0 and 24"),
        ("embedding EMB --perplexity nan", "--perplexity: nan: it must be a number between 1 and 1000"),
        ("embedding EMB --seed -1", "--seed: -1: it must be a whole number"),
        ("embedding EMB --thumbnails", "give --image_root"),
        ("attention RUN --queries 0", "--queries: 0: it must be a whole number between 1 and 60"),
        ("attention EMB --image_root docs", "ckpt-<7>, which made it, does not exist here"),
        ("attention RUN --seed -1", "--seed: -1: it must be a whole number of at least 0"),
        ("attention RUN --pair no.jpg such.jpg", "--pair no.jpg: there is no such file"),
        (f"attention RUN --pair {__file__} {__file__}", "test_visualize_mistakes.py: "),
        ("attention RUN" + 61 * " --pair a b", "--pair: 61 pairs are too many; one picture holds 60"),
        ("attention RUN --out x.txt", "its name must end in"),
    ],
)
def test_mistakes_are_one_line(trained, files, words, message):
    sources = {"RUN": ["--model_dir", trained], "EMB": ["--query_embeddings", files / "x.h5"]}
    sources["LIST"] = ["--query_dataset", files / "x.csv"]
    given = [part for word in words.split() for part in sources.get(word, [word])]
    code, _, errors = command("visualize.py", *given)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_help_does_not_show_the_example_of_the_docstring(name):
    code, printed, _ = command("visualize.py", name, "--help")
    assert code == 0
    assert "usage: " in printed
    assert ">>>" not in printed
