"""Changes of the training list between two starts of a run."""

import dataclasses

import numpy as np
import pytest

from dataset.formats.manifest import read_manifest
from model.run.run_folder import RunFolder
from model.run.training_list import training_list_change, write_training_list


def test_what_changed_is_named(dataset, tmp_path):
    run, manifest = RunFolder(tmp_path), read_manifest(dataset / "train.csv", dataset)
    assert training_list_change(run, manifest) is None  # a run of an earlier version
    write_training_list(run, manifest)
    assert training_list_change(run, manifest) is None
    names = manifest.identities.astype(object)

    def change(rows=slice(None), **parts):
        return training_list_change(run, dataclasses.replace(manifest, **parts).select(np.arange(len(names))[rows]))

    assert change(slice(5, None)) == "the training list has 6 -> 5 identities, 30 -> 25 images"
    assert change(slice(1, None)) == "the training list has 30 -> 29 images"
    renamed = np.where(names == "id 0", "id 7", names)
    assert change(identities=renamed) == "the training list has 6 identities as before, but some were renamed"
    moved = np.concatenate([names[1:], names[:1]])
    assert change(identities=moved) == "images of the training list belong to other identities"
    run.training_list.write_text("[]")
    assert training_list_change(run, manifest) is None


@pytest.mark.parametrize("content", ["{}", '{"images": "x"}'])
def test_a_damaged_record_stops_nothing(dataset, tmp_path, content):
    run, manifest = RunFolder(tmp_path), read_manifest(dataset / "train.csv", dataset)
    run.training_list.write_text(content)
    assert training_list_change(run, manifest)
