"""The collapse alarm: names the states in which a training learns nothing, once they have lasted."""

import math

from model.distances import find_distance, has_unit_length

_NEAR = 0.25  # of the margin: differences of such distances hardly move the loss
_TINY = 0.01  # of the margin: to the loss nearly one point, whatever the embeddings' length
_NARROW = 0.05  # of the embeddings' length: they all point in one direction
_UNSORTED = 0.75  # nearest negative by farthest positive: a network that is learning gets above it as it shrinks
_NOTHING = 1e-3  # of the margin, or of the embeddings' length: equal, but for little more than rounding
_ABSURD = 1000.0  # margins: no embedding that is of any use is so long
EPISODE = 100  # steps

_REMEDIES = {
    "no triplets": "sampling pk, batch_k of 2 or more, more images of each identity",
    "collapsed": "lower learning_rate, add warmup_steps, check that pretrained weights are loaded, use_batch_norm, "
    "triplet_strategy batch_all first, smaller batch_p and batch_k",
    "diverged": "lower learning_rate, add warmup_steps, use_batch_norm, a head that normalizes",
    "no active triplets": "if the evaluation is not good yet: larger margin, larger batch_p and batch_k, "
    "triplet_strategy batch_hard",
}


class CollapseAlarm:
    """Looks at every training step, and warns once per episode of a bad state.

    With u the margin (1 for 0, "soft" and "none"), the states are:

    - no triplets: no anchor has both a positive and a negative.
    - diverged: embeddings longer than 1000 u, and the hardest positives farther than the hardest negatives by over u.
    - collapsed: to the loss all embeddings are one point. The distances are below 0.001 u, or 0.001 of the embeddings'
      length; or below 0.25 u and 0.05 of the length, or below 0.01 u, with the nearest negative nearer than 0.75 of the
      farthest positive. (The last condition spares a plateau of batch hard on which embeddings draw together, and are
      being sorted.) The loss is that of a network that tells nothing apart: the margin, ln 2 with "soft".
    - no active triplets: the loss of every triplet is 0. That may be success.

    A training may jump between collapsed and diverged, so that these count as one episode. A step out of the state
    takes back two in it: what a broken training does in between now and then is no recovery. An episode is over when
    as many steps in a row as make one are not in the state.
    """

    def __init__(self, margin: float | str, metric: str, dimensions: int = 1, *, steps: int = EPISODE) -> None:
        """`margin`, `metric` as in the parameters; D (cityblock grows with it); `steps` in a state make an episode."""
        self._margin, self._dimensions, self._steps = margin, dimensions, steps
        self._distance, self._unit_length = find_distance(metric), has_unit_length(metric)
        self._unit = 1.0 if isinstance(margin, str) or margin <= 0 else float(margin)
        self._lasted: dict[str, int] = {}  # kinds: steps in them, less two for each step out of them
        self._absent: dict[str, int] = {}  # kinds warned of: for how many steps in a row they are gone

    def update(self, step: int, values: dict[str, float]) -> str | None:
        """What to tell the user after a step: a line that names state, figures and remedies, or None.

        Args:
            step: the number of steps done.
            values: loss, active_fraction, complete_anchors; hardest_positive and hardest_negative, means over the
                anchors; embedding_norm, the mean. Others are ignored.
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
        # Whatever its length, a direction is all that such a metric sees.
        length = 1.0 if self._unit_length else values["embedding_norm"]
        if not math.isfinite(positive + negative + length):
            return None  # the training stops by itself
        if values["complete_anchors"] == 0:
            return "no triplets"
        if length > _ABSURD * self._length(self._unit) and positive - negative > self._unit:
            return "diverged"
        widest = self._length(max(positive, negative))  # positives alone may come together: that is what is wanted
        in_margins, in_lengths = widest / self._length(self._unit), widest / max(length, 1e-30)
        unsorted = self._length(negative) < _UNSORTED * self._length(positive)
        near = in_margins < _TINY or (in_margins < _NEAR and in_lengths < _NARROW)
        if min(in_margins, in_lengths) < _NOTHING or (near and unsorted):
            return "collapsed"
        # With "none" the loss has no lower end.
        return "no active triplets" if values["active_fraction"] == 0 and self._margin != "none" else None

    def _length(self, distance: float) -> float:
        """A distance as a euclidean one, to be compared with the embeddings' length."""
        return self._distance.as_euclidean(max(distance, 0.0), self._dimensions)  # some may be rounded to less than 0

    def _description(self, state: str, lasted: str, values: dict[str, float]) -> str:
        if state == "no triplets":
            return f"warning: no triplets {lasted}: no image of a batch has both a positive and a negative in it"
        figures = (
            f"hardest positive {values['hardest_positive']:.2g} and negative {values['hardest_negative']:.2g}, "
            f"embedding norm {values['embedding_norm']:.2g}, loss {values['loss']:.3g}"
        )
        if state == "collapsed":
            at_one_point = {"soft": "ln 2 = 0.693", "none": "0"}.get(str(self._margin), f"the margin, {self._margin}")
            return (
                f"warning: collapsed: all embeddings are nearly one point {lasted} ({figures}; the triplet loss at one "
                f"point is {at_one_point})"
            )
        if state == "diverged":
            return f"warning: diverged: embeddings grew beyond all use {lasted} ({figures})"
        return f"note: no active triplets {lasted}: their loss is 0, so that nothing is learned from them ({figures})"
