"""Every command and all Python code in README.md and the other pages works."""

import ast
import importlib

import pytest
from helpers.command_checks import problem
from helpers.documented import PAGES, name_of, python_blocks, shell_blocks, simple_commands
from helpers.documented_data import Store
from helpers.documented_sandbox import Sandbox


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_are_accepted(page):
    problems = [
        f"{name_of(page)}:{block.line}: {' '.join(words)}\n    {found}"
        for block in shell_blocks(page)
        for words in simple_commands(block.text)
        if (found := problem(words))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_code_of_a_page_imports_what_there_is(page):
    for block in python_blocks(page):
        if block.text.startswith("# "):
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, f"{name_of(page)}:{block.line}: {node.module} has no {missing}"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python train.py --model_dir RUN --set margin=0.5", ""),
        ("python train.py --model_dir RUN --parms a", "--parms"),
        ("python train.py --model_dir RUN --set margn=0.5", "no parameter margn"),
        ("python trian.py --model_dir RUN", "trian.py"),
        ("python -m dataset.prepare.market1502 --root A --out B", "market1502"),
        ("python -m dataset.prepare.market1501 --out B", "--root"),
        ("python visualize.py rankings --model_dir RUN --querys 8", "--querys"),
        ("python embed.py merge --filename a.h5", "PART.h5"),
        ("cp experiments/nowhere/params.json runs", "experiments/nowhere/params.json"),
        ("mkdir -p a && python evaluate.py --onc > log", "--onc"),
        ("make dmeo", "dmeo"),
        ("pip install -r requirements_tpu.txt", "requirements_tpu.txt"),
        ("docker run --rm triplet-embeddings:cpu train.py --model_dir RUN --once", "--once"),
        ("""echo '{"margin": -1}' > RUN/params.json""", "margin"),
        ("tensorboard --log_dir RUN", "--log_dir"),
        ("curl -O example", "no check for curl"),
    ],
)
def test_a_mistake_in_a_command_is_found(line, found):
    problems = "".join(map(problem, simple_commands(line)))
    assert found in problems
    assert bool(found) == bool(problems)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Small data for all pages."""
    return Store(tmp_path_factory.mktemp("documented"))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if shell_blocks(page) or python_blocks(page)], ids=name_of)
def test_a_page_runs_from_top_to_bottom(page, store, tmp_path):
    sandbox = Sandbox(tmp_path / "project", page, store)
    for block in sandbox.blocks:
        done = sandbox.run(block)
        assert done.returncode == 0, f"{name_of(page)}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"
    if sandbox.code:
        done = sandbox.run_code()
        assert done.returncode == 0, f"{name_of(page)}\n{done.stdout}\n{done.stderr}"
