"""Search spaces, and draws from them."""

import math

import numpy as np
import pytest

from model.searching.proposals import KnownProposals, OptunaProposals, draw_random, list_grid
from model.searching.space import Choices, Range, parse_space, split_commas
from runtime.errors import UserError


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("margin=0.2,0.5,soft", Choices("margin", [0.2, 0.5, "soft"])),
        ("margin=0.2", Choices("margin", [0.2])),
        ("image_size=[64,32],[128,64]", Choices("image_size", [[64, 32], [128, 64]])),
        ('augmentation=["a","b"],[]', Choices("augmentation", [["a", "b"], []])),
        ('best_metric="val,eval",x', Choices("best_metric", ["val,eval", "x"])),
        ("rotated_identities=true,1", Choices("rotated_identities", [True, 1])),
        ("last_stride=null,1", Choices("last_stride", [None, 1])),
        ("warm_start_from=C:/a,imagenet", Choices("warm_start_from", ["C:/a", "imagenet"])),
        ("learning_rate=log:1e-5:1e-3", Range("learning_rate", 1e-5, 1e-3, True, False)),
        ("margin=0:1", Range("margin", 0, 1, False, False)),
        ("batch_k=2:8", Range("batch_k", 2, 8, False, True)),
        ("batch_k=2:8.0", Range("batch_k", 2, 8.0, False, False)),
    ],
)
def test_space_is_parsed(text, dimension):
    assert parse_space([text]) == [dimension]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["margin"], "use KEY=a,b,c"),
        (["margin="], "use KEY=a,b,c"),
        (["margin=1,,2"], "a value is empty"),
        (["margin=1,1"], "a value is given twice"),
        (["margin=1,1.0"], "a value is given twice"),
        (["image_size=[8,16],[8.0,16]"], "a value is given twice"),
        (["margin=1,2", "margin=3"], "margin is given twice"),
        (["margin=log:1"], "use log:low:high"),
        (["margin=log:0:1"], "below the high end and above 0"),
        (["margin=3:1"], "the low end must be below"),
    ],
)
def test_broken_spaces_are_refused(texts, message):
    with pytest.raises(UserError, match=message):
        parse_space(texts)


def test_commas_within_brackets_and_quotes_do_not_split():
    assert split_commas('a,[1,[2,3]],"x,\\",y",{"k": [1,2]},b') == ["a", "[1,[2,3]]", '"x,\\",y"', '{"k": [1,2]}', "b"]


def test_grid_has_every_combination():
    space = parse_space(["margin=0.2,soft", "batch_k=4", "head=direct,gem,fc1024"])
    grid = list_grid(space)
    assert len(grid) == len({str(values) for values in grid}) == 6
    assert grid[1] == {"margin": 0.2, "batch_k": 4, "head": "gem"}
    with pytest.raises(UserError, match="margin is a range"):
        list_grid(parse_space(["margin=0:1"]))


def test_draws_depend_on_seed_and_number_alone():
    space = parse_space(["learning_rate=log:1e-5:1e-1", "margin=0:1", "batch_k=2:8", "head=direct,gem"])
    many = draw_random(space, 400, seed=3)
    assert draw_random(space, 7, seed=3) == many[:7]
    assert draw_random(space, 7, seed=4) != many[:7]
    # Every decade, every integer and every choice is about equally frequent.
    decades = np.histogram([math.log10(values["learning_rate"]) for values in many], 4, (-5, -1))[0]
    assert decades.min() > 70
    assert np.bincount([values["batch_k"] for values in many], minlength=9)[2:].min() > 35
    assert sorted({values["head"] for values in many}) == ["direct", "gem"]
    assert np.histogram([values["margin"] for values in many], 4, (0, 1))[0].min() > 70
    assert all(float(f"{values['margin']:.4g}") == values["margin"] for values in many)


def test_draws_are_different_and_end_with_the_space():
    drawn = draw_random(parse_space(["margin=0.2,0.5,soft", "batch_k=2:3"]), 50, seed=0)
    assert len(drawn) == len({str(values) for values in drawn}) == 6


def test_ranges_stay_within_their_ends():
    """Also if the ends have more than four digits."""
    dimension = Range("margin", 0.123456, 0.1234567, False, False)
    assert all(dimension.low <= dimension.at(share) <= dimension.high for share in np.linspace(0, 1, 100)[:-1])
    whole = Range("batch_k", 1, 512, True, True)
    assert [whole.at(0.0), whole.at(0.9999999)] == [1, 512]


def ask_all(space, values_of, lag=1):
    """Optuna's proposals when each result is known only after `lag` more proposals."""
    proposals = OptunaProposals(space, 16, seed=0, lag=lag)
    asked = []
    for number in range(16):
        if number >= lag:
            proposals.tell(values_of(asked[number - lag]))
        asked.append(proposals.ask())
    return asked


def test_optuna_repeats_itself_and_learns():
    space = parse_space(["margin=0:1", "batch_k=2:64", "learning_rate=log:1e-5:1e-1", "image_size=[8,16],32"])
    asked = ask_all(space, lambda values: -abs(values["margin"] - 0.3))
    assert asked == ask_all(space, lambda values: -abs(values["margin"] - 0.3))
    assert asked[:10] == ask_all(space, lambda values: None)[:10]  # it begins with random draws
    assert asked != ask_all(space, lambda values: abs(values["margin"] - 0.3))
    assert {str(values["image_size"]) for values in asked} == {"[8, 16]", "32"}
    assert all(type(values["batch_k"]) is int for values in asked)


def test_known_proposals_wait_for_nothing():
    proposals = KnownProposals([{"margin": 1}, {"margin": 2}])
    assert (proposals.count, proposals.ask(), proposals.ask()) == (2, {"margin": 1}, {"margin": 2})
