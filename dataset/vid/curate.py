"""Makes a prepared data set from indices and crops: training list, episodes, their random crops, statistics."""

from collections.abc import Iterator
from typing import Any

from dataset.formats.writing import write_prepared
from dataset.vid.crop_writer import write_all_crops
from dataset.vid.episode_sets import EpisodeSet, object_episodes, random_crop_episodes
from dataset.vid.index import SplitIndex
from dataset.vid.output_folder import OutputFolder
from dataset.vid.selection import train_rows
from dataset.vid.statistics import split_statistics, statistics_table
from runtime.counting import counted
from runtime.errors import UserError
from runtime.json_files import write_json
from runtime.printable import print_line, print_lines
from runtime.progress import Progress


def curate(folder: OutputFolder, workers: int, *, seed: int, episodes: int, random_crops: int, max_iou: float) -> None:
    """Writes the lists into the folder. dataset.json comes last, and only if all crops were made.

    The --help of the command describes the settings.

    Raises:
        UserError: when there is no usable object.
    """
    found = {split: folder.usable_index(split) for split in folder.splits()}
    if not found:
        raise UserError(f"{folder.path}: no annotations in it; run the command crop (or index) first")
    empty = [split for split, (index, _) in found.items() if not len(index.trackids)]
    indices = {split: index for split, (index, _) in found.items() if split not in empty}
    if not indices:
        raise UserError(f"{folder.path}: no object of {empty[0]} has a crop; see {folder.problems_file(empty[0])}")
    statistics: dict[str, Any] = {
        split: split_statistics(index) | {"left_out": found[split][1]} for split, index in indices.items()
    }
    print_lines(statistics_table(statistics))

    (folder.path / "dataset.json").unlink(missing_ok=True)  # until all lists are new
    notes, sets = [f"{split}: skipped, as none of its objects has a crop" for split in empty], {}
    if "train" in indices:
        sets["train"] = _write_train(folder, indices["train"], notes)
    settings = {"seed": seed, "episodes": episodes, "random_crops": random_crops, "max_iou": max_iou}
    for each in _episode_sets(indices, seed, episodes, random_crops, max_iou):
        sets[each.name] = _write_episodes(folder, each, workers, notes)

    gone = {"train_eval", "val_eval", "easy_val_eval"}.difference(sets)  # perhaps left by an earlier curation
    write_prepared(folder.path, {} if "train" in sets else {"train.csv": []}, [(name, [], {}) for name in gone])
    for split, lists in (("train", "train.csv and train_eval"), ("val", "val_eval and easy_val_eval")):
        if split not in indices and split not in empty:
            notes.append(f"{split}: its annotations have not been read, so there is no {lists}")
    uncropped = [split for split in indices if not folder.record_file(split).exists()]
    notes += [f"{split}: some of its crops are missing; run the command crop" for split in uncropped]
    made = {"settings": settings, "splits": statistics, "sets": sets, "notes": notes}
    write_json(folder.path / "statistics.json", made)
    _report(sets, notes)
    if uncropped:
        print_lines(
            f"\n{folder.path}: lists written, but crops are missing; before training, run crop, then curate again"
        )
        return
    counts = {name: made.get("episodes", made.get("images")) for name, made in sets.items()}
    info = {"name": folder.path.resolve().name, "licence": "ImageNet's terms of access", "image_root": "."}
    origin = f"ImageNet VID 2015, crops and episodes of dataset.prepare.imagenetvid, seed {seed}"
    write_prepared(folder.path, {}, info=info | {"origin": origin, "counts": counts})
    without = "" if (folder.path / "train.csv").exists() else ", for evaluation only: there is no train.csv"
    print_lines(f"\n{folder.path}: prepared{without}")


def _write_train(folder: OutputFolder, index: SplitIndex, notes: list[str]) -> dict[str, Any]:
    rows = train_rows(index.snippets())
    seen = int((~index.occluded).sum())
    made = {
        "identities": len({identity for identity, *_ in rows}),
        "images": len(rows),
        "left_out": {
            "crops of occluded objects": len(index.trackids) - seen,
            "crops of objects that are seen only once": seen - len(rows),
        },
    }
    write_prepared(folder.path, {"train.csv": rows})
    if not rows:
        notes.append("train: no object is seen in two frames, so there is nothing to train on")
    return made


def _episode_sets(
    indices: dict[str, SplitIndex], seed: int, number: int, random_crops: int, max_iou: float
) -> Iterator[EpisodeSet]:
    if "train" in indices:
        yield object_episodes(indices["train"].snippets(), "train_eval", number, seed)
    if "val" in indices:
        val = indices["val"]
        yield object_episodes(val.snippets(), "val_eval", number, seed)
        yield random_crop_episodes(val.snippets(), "easy_val_eval", number, seed, random_crops, max_iou)


def _write_episodes(folder: OutputFolder, episodes: EpisodeSet, workers: int, notes: list[str]) -> dict[str, Any]:
    if episodes.random_crops and folder.record_file("val").exists():
        dropped = _cut_random_crops(folder, episodes, workers)
        if dropped:
            notes.append(f"{episodes.name}: {counted(dropped, 'episode')} skipped, as images of frames are missing")
    if episodes.shortfall:
        notes.append(episodes.shortfall)
    write_prepared(folder.path, {}, [(episodes.name, episodes.episodes, dict(episodes.attributes))])
    return {"asked": episodes.asked, "episodes": len(episodes.episodes), "snippets": episodes.snippets}


def _cut_random_crops(folder: OutputFolder, episodes: EpisodeSet, workers: int) -> int:
    """Cuts the random crops of a set. Returns how many episodes were dropped because a frame cannot be read.

    Raises:
        UserError: when the folder of frames is missing.
    """
    tasks = episodes.random_crop_tasks(folder.root, folder.path, folder.crop_settings)
    counts = write_all_crops(tasks, workers, Progress(f"{episodes.name}: random crops of", len(tasks), "frames"))
    if not counts.problems:
        return 0
    frames = folder.root / "Data" / "VID" / "val"
    if not frames.is_dir():
        raise UserError(f"{frames}: no such folder, but random crops are cut from it; run crop with the present --root")
    broken = {problem.file for problem in counts.problems}
    return episodes.without({path for task in tasks if str(task.image) in broken for _, path in task.boxes})


def _report(sets: dict[str, dict[str, Any]], notes: list[str]) -> None:
    print_line("")
    for name, made in sets.items():
        if name == "train":
            excluded = "; ".join(f"{number:,} {what}" for what, number in made["left_out"].items())
            identities = counted(made["identities"], "identity", "identities")
            print_line(f"train: {counted(made['images'], 'image')} of {identities} (excluded: {excluded})")
        else:
            snippets = counted(made["snippets"], "snippet")
            print_line(f"{name}: {made['episodes']:,} of {counted(made['asked'], 'episode')}, from {snippets}")
    for note in notes:
        print_line(f"note: {note}")
