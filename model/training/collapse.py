"""The collapse alarm: warns when a training has learned nothing for many steps."""

import math

from model.distances import find_distance, has_unit_length

_NEAR = 0.25  # of the margin: smaller distances hardly change the loss
_TINY = 0.01  # of the margin: nearly one point for the loss, whatever the length of the embeddings
_NARROW = 0.05  # of the embeddings' length: all point in one direction
_UNSORTED = 0.75  # nearest negative / farthest positive: a network that shrinks but learns exceeds it
_NOTHING = 1e-3  # of the margin, or of the embeddings' length: equal except for rounding
_ABSURD = 1000.0  # margins: no useful embedding is this long
EPISODE = 100  # steps in a bad state before a warning

_REMEDIES = {
    "no triplets": "use sampling pk, a batch_k of at least 2, more images per identity",
    "collapsed": "lower learning_rate, add warmup_steps, check that pretrained weights are loaded, set use_batch_norm, "
    "start with triplet_strategy batch_all, use a smaller batch_p and batch_k",
    "diverged": "lower learning_rate, add warmup_steps, set use_batch_norm, use a head that normalizes",
    "no active triplets": "if the evaluation is not good yet, use a larger margin, a larger batch_p and batch_k, or "
    "triplet_strategy batch_hard",
}


class CollapseAlarm:
    """Watches every training step, and warns once when a bad state lasts.

    With u the margin (1 for 0, "soft" and "none"), the states are:

    - no triplets: no anchor has both a positive and a negative.
    - diverged: embeddings are longer than 1000 u, and the hardest positives are farther than the hardest negatives by
      more than u.
    - collapsed: all embeddings are one point for the loss. Distances are below 0.001 u or 0.001 of the embeddings'
      length; or they are below 0.01 u, or below both 0.25 u and 0.05 of the length, while the nearest negative is
      nearer than 0.75 of the farthest positive. (This last condition excludes a plateau of batch hard: embeddings draw
      together there, but are already sorted.) The loss is the margin, or ln 2 with "soft": no pair is distinguished.
    - no active triplets: the loss of every triplet is 0. This may be success.

    The warning comes after `steps` steps in a state; each step outside it counts as minus two, as a broken training
    leaves the state now and then. `steps` consecutive steps outside it end the episode; then it can warn again.
    Collapsed and diverged count as one state, since a training may alternate between them.
    """

    def __init__(self, margin: float | str, metric: str, dimensions: int = 1, *, steps: int = EPISODE) -> None:
        """`margin` and `metric` are parameters of the run, `dimensions` is D (cityblock distances grow with it)."""
        self._margin, self._dimensions, self._steps = margin, dimensions, steps
        self._distance, self._unit_length = find_distance(metric), has_unit_length(metric)
        self._unit = 1.0 if isinstance(margin, str) or margin <= 0 else float(margin)
        self._lasted: dict[str, int] = {}  # state: steps in it, minus two for each step outside
        self._absent: dict[str, int] = {}  # states with a warning: consecutive steps outside

    def update(self, step: int, values: dict[str, float]) -> str | None:
        """A warning with state, metrics and remedies, or None.

        Args:
            step: the number of steps done.
            values: loss, active_fraction, complete_anchors, and the means hardest_positive, hardest_negative and
                embedding_norm. Other keys are ignored.
        """
        state = self._state(values)
        kind = "collapsed" if state == "diverged" else state
        self._lasted = {known: lasted - 2 for known, lasted in self._lasted.items() if known != kind and lasted > 2} | (
            {kind: min(self._lasted.get(kind, 0) + 1, self._steps)} if kind else {}
        )
        self._absent = {known: 0 if known == kind else absent + 1 for known, absent in self._absent.items()}
        self._absent = {known: absent for known, absent in self._absent.items() if absent < self._steps}
        if state is None or kind is None or kind in self._absent or self._lasted[kind] < self._steps:
            return None
        self._absent[kind] = 0
        lasted = f"for {self._lasted[kind]} steps, at step {step}"
        return f"{self._description(state, lasted, values)}; remedies: {_REMEDIES[state]}"

    def _state(self, values: dict[str, float]) -> str | None:
        positive, negative = values["hardest_positive"], values["hardest_negative"]
        # such a distance depends on directions only
        length = 1.0 if self._unit_length else values["embedding_norm"]
        if not math.isfinite(positive + negative + length):
            return None  # training stops with an error
        if values["complete_anchors"] == 0:
            return "no triplets"
        if length > _ABSURD * self._length(self._unit) and positive - negative > self._unit:
            return "diverged"
        widest = self._length(max(positive, negative))  # only both together: near positives are the goal
        in_margins, in_lengths = widest / self._length(self._unit), widest / max(length, 1e-30)
        unsorted = self._length(negative) < _UNSORTED * self._length(positive)
        near = in_margins < _TINY or (in_margins < _NEAR and in_lengths < _NARROW)
        if min(in_margins, in_lengths) < _NOTHING or (near and unsorted):
            return "collapsed"
        # With "none" the loss has no lower bound.
        return "no active triplets" if values["active_fraction"] == 0 and self._margin != "none" else None

    def _length(self, distance: float) -> float:
        """A distance as a Euclidean one, comparable with the length of embeddings."""
        return self._distance.as_euclidean(max(distance, 0.0), self._dimensions)  # rounding may give less than 0

    def _description(self, state: str, lasted: str, values: dict[str, float]) -> str:
        if state == "no triplets":
            return f"warning: no triplets {lasted}: no image has both a positive and a negative in its batch"
        metrics = (
            f"hardest positive {values['hardest_positive']:.2g} and negative {values['hardest_negative']:.2g}, "
            f"embedding norm {values['embedding_norm']:.2g}, loss {values['loss']:.3g}"
        )
        if state == "collapsed":
            at_one_point = {"soft": "ln 2 = 0.693", "none": "0"}.get(str(self._margin), f"the margin, {self._margin}")
            return (
                f"warning: collapsed: all embeddings are nearly equal {lasted} ({metrics}; equal embeddings have a "
                f"triplet loss of {at_one_point})"
            )
        if state == "diverged":
            return f"warning: diverged: embeddings are far too long {lasted} ({metrics})"
        return (
            f"note: no active triplets {lasted}: their loss is 0, and the network learns nothing from them ({metrics})"
        )
