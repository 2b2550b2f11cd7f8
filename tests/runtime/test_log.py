"""The log's files stay bounded."""

from runtime import log
from runtime.log import Log


def test_a_large_log_is_rotated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log, "_LARGE", 500)
    lines = [f"line {number}" for number in range(200)]
    file = tmp_path / "train.log"
    for line in lines:
        Log(file).line(line)
    capsys.readouterr()
    names = [f"train.log.{number}" for number in (4, 3, 2, 1)] + ["train.log"]
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    sizes = [(tmp_path / name).stat().st_size for name in names]
    assert max(sizes) < 600
    kept = [line[20:] for name in names for line in (tmp_path / name).read_text().splitlines()]
    assert kept == lines[-len(kept) :]
    assert len(kept) > 60
