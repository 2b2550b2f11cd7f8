import math

import pytest

from model.training.collapse import CollapseAlarm


def figures(loss, positive, negative, norm, active=1.0, valid=64.0):
    return {
        "loss": loss,
        "hardest_positive": positive,
        "hardest_negative": negative,
        "embedding_norm": norm,
        "active_fraction": active,
        "complete_anchors": valid,
    }


HEALTHY = figures(0.73, 0.87, 0.80, 3.7)
COLLAPSED = figures(0.6931, 0.0, 0.0, 0.13)
DIVERGED = figures(11.0, 11.1, 0.18, 16900.0)
NO_TRIPLETS = figures(0.0, 0.0, 0.0, 1.0, active=0.0, valid=0.0)
NOT_ACTIVE = figures(0.0, 0.5, 1.5, 1.0, active=0.0)


def warnings(values, steps=100, margin="soft", metric="euclidean", dimensions=1):
    """(step, warning) of a training with these figures, step by step."""
    alarm = CollapseAlarm(margin, metric, dimensions, steps=steps)
    return [(step, text) for step, value in enumerate(values, 1) if (text := alarm.update(step, value))]


def state_of(values, **settings):
    texts = [text for _, text in warnings([values] * 3, steps=3, **settings)]
    return texts[0].split(": ")[1].split(" for ")[0] if texts else None


# Figures of steps 100 to 300 of real trainings, on the synthetic data set and on Omniglot.
@pytest.mark.parametrize(
    ("values", "margin"),
    [
        (HEALTHY, "soft"),  # basic, batch hard, learning rate 1e-3: just at ln 2, and learning
        (figures(0.333, 0.813, 0.780, 3.57), 0.3),
        (figures(0.737, 3.256, 2.862, 5.78, active=0.127), 1.0),  # params.json
        (figures(0.737, 2.205, 2.184, 10.7), "soft"),  # experiments/omniglot
        (figures(0.683, 0.782, 0.255, 1.0, active=0.65), 1.0),  # learning rate 10, normalized: bad, but it learns
        (figures(0.3031, 0.0636, 0.0605, 1.0), 0.3),  # normalized, batch hard: on a plateau, top-1 86 %
        (figures(0.3005, 0.0300, 0.0295, 1.0), 0.3),  # the same, if it went on
        (figures(0.02, 0.004, 1.2, 1.0, active=0.02), 0.3),  # positives have come together
        (figures(-40.0, 20.0, 60.0, 5000.0), "none"),  # without margin, lengths may grow
        (figures(3.7, 7.0, 3.4, 4.9), 0.3),  # the first step
    ],
)
def test_healthy_trainings_are_left_alone(values, margin):
    assert state_of(values, margin=margin) is None


@pytest.mark.parametrize(
    ("values", "margin", "state"),
    [
        (COLLAPSED, "soft", "collapsed"),
        (figures(0.694, 0.00211, 0.000669, 0.0007), "soft", "collapsed"),  # short embeddings: not narrow, but tiny
        (figures(0.3, 3.1e-5, 3.1e-5, 0.078), 0.3, "collapsed"),  # batch hard without batch norm, 1e-3
        (figures(0.6931, 0.612, 0.612, 970.0), "soft", "collapsed"),  # rounding, beside such lengths
        (figures(0.695, 0.0071, 0.0034, 1.0), "soft", "collapsed"),  # fc1024_normalize, learning rate 10
        (figures(0.306, 0.0110, 0.0049, 1.0), 0.3, "collapsed"),
        (DIVERGED, "soft", "diverged"),  # direct with batch norm, learning rate 10
        (figures(4.4e9, 3.7e14, 2.9e13, 3.1e14, active=0.005), 0.3, "diverged"),
        (figures(0.0, 1.3e7, 3.7e5, 8.4e6, active=0.0), "soft", "diverged"),
        (NO_TRIPLETS, "soft", "no triplets"),
        (figures(0.0, 0.0, 0.0, 1.0, active=0.0), 0.0, "collapsed"),  # it has triplets
        (NOT_ACTIVE, 0.3, "no active triplets"),
        (NOT_ACTIVE, "none", None),
        (figures(math.nan, math.nan, math.nan, math.nan), "soft", None),
        (figures(math.inf, math.inf, 0.0, math.inf), "soft", None),
    ],
)
def test_states(values, margin, state):
    assert state_of(values, margin=margin) == state


@pytest.mark.parametrize(
    ("metric", "distance", "norm", "state"),
    [
        ("euclidean", 0.049, 1.0, "collapsed"),
        ("euclidean", 0.051, 1.0, None),
        ("sqeuclidean", 0.049**2, 1.0, "collapsed"),
        ("sqeuclidean", 0.051**2, 1.0, None),
        ("cosine", 0.049**2 / 2, 1000.0, "collapsed"),
        ("cosine", 0.051**2 / 2, 1000.0, None),
        ("cosine", 0.049**2 / 2, 1e-6, "collapsed"),
        ("cityblock", 0.049 * 4, 0.5, "collapsed"),
        ("cityblock", 0.051 * 4, 0.5, None),
    ],
)
def test_distances_are_compared_with_lengths(metric, distance, norm, state):
    assert state_of(figures(0.69, distance, distance / 2, norm), metric=metric, dimensions=64) == state


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_lengths_mean_nothing_to_cosine(metric):
    expected = "diverged" if metric == "euclidean" else None
    assert state_of(figures(2.0, 1.9, 0.5, 1e5), margin=1.0, metric=metric) == expected


@pytest.mark.parametrize("bad", [COLLAPSED, DIVERGED, NO_TRIPLETS, NOT_ACTIVE])
def test_one_warning_per_episode(bad):
    steps = [step for step, _ in warnings([HEALTHY] * 7 + [bad] * 1000)]
    assert steps == [107]
    assert warnings([*[bad] * 99, *[HEALTHY] * 49, *[bad] * 98]) == []
    assert warnings(([bad] * 2 + [HEALTHY]) * 200) == []
    assert [step for step, _ in warnings(([bad] * 9 + [HEALTHY]) * 20)] == [139]
    again = [bad] * 150 + [HEALTHY] * 99 + [bad] * 300 + [HEALTHY] * 100 + [bad] * 100
    assert [step for step, _ in warnings(again)] == [100, len(again)]


def test_collapsed_and_diverged_are_one_episode():
    ((step, text),) = warnings([COLLAPSED, DIVERGED] * 200)
    assert step == 100
    assert text.startswith("warning: diverged")


def test_another_state_warns_too():
    texts = [text for _, text in warnings([NO_TRIPLETS] * 150 + [COLLAPSED] * 150)]
    assert [text.split(":")[1].split(" for")[0].strip() for text in texts] == ["no triplets", "collapsed"]


def test_the_warning_names_state_figures_and_remedies():
    ((_, text),) = warnings([figures(0.6945, 0.0041, 0.0020, 1.0)] * 100)
    assert text == (
        "warning: collapsed: all embeddings are nearly one point for 100 steps, at step 100 (hardest positive 0.0041 "
        "and negative 0.002, embedding norm 1, loss 0.695; the triplet loss at one point is ln 2 = 0.693); remedies: "
        "lower learning_rate, add warmup_steps, check that pretrained weights are loaded, use_batch_norm, "
        "triplet_strategy batch_all first, smaller batch_p and batch_k"
    )
    ((_, text),) = warnings([NOT_ACTIVE] * 100, margin=0.3)
    assert text.startswith("note: no active triplets for 100 steps")
