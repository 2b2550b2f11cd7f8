"""Damaged files: every reader succeeds or gives one error, soon, in little memory, and writes nothing elsewhere.

TRIPLET_MUTATIONS sets the number of damaged files for each reader.
"""

import os
from pathlib import Path

import pytest
from helpers.mutations import MEMORY, Campaign, peak_memory
from helpers.readers import IN_A_CHILD, READERS
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("TRIPLET_MUTATIONS", "0"))


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    configuration.set_hypothesis_home_dir(tmp_path / "hypothesis")  # else it leaves a folder in the checkout
    (tmp_path / "files").mkdir()
    campaign, before = Campaign(name, tmp_path / "files"), peak_memory()

    @settings(
        max_examples=EXAMPLES or (4 if name in IN_A_CHILD else 25),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        assert campaign.fault(seed) is None

    check()
    assert peak_memory() <= max(before, MEMORY)
