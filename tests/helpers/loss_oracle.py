"""The losses by their definitions: loops over anchors, positives and negatives in float64, with their gradients."""

import itertools
import math

import numpy as np


def distance(a: np.ndarray, b: np.ndarray, metric: str) -> tuple[float, np.ndarray]:
    """The distance of two embeddings and its gradient at `a` (0 if it has none)."""
    difference = a - b
    if metric == "cityblock":
        return np.abs(difference).sum(), np.sign(difference)
    if metric == "sqeuclidean":
        return (difference**2).sum(), 2 * difference
    if metric == "euclidean":
        length = math.sqrt((difference**2).sum())
        return length, difference / length if length else np.zeros_like(a)
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    if not norm_a or not norm_b:
        return (0.0 if norm_a == norm_b else 0.5), np.zeros_like(a)
    cosine = a @ b / (norm_a * norm_b)
    # Rounding makes ties of what only differs in the last digits of float64.
    return round(1 - cosine, 12), -(b / norm_b - cosine * a / norm_a) / norm_a


def cost(x: float, margin: float | str) -> tuple[float, float]:
    """f(x) and f'(x)."""
    if margin == "soft":
        value = max(x, 0.0) + math.log1p(math.exp(-abs(x)))
        return value, 1 / (1 + math.exp(-x)) if x > -700 else 0.0
    if margin == "none":
        return x, 1.0
    return max(0.0, x + margin), float(x + margin > 0)


def terms_of(strategy, positives, negatives, d, cost_drawn):
    """The terms of one anchor: (x, {image: dx / d distance}).

    Images with equal extreme distances share it in `batch_hard`; else the first has it. `cost_drawn`: how far the cost
    at x is from the one that `batch_sample` has drawn: its term is the nearest.
    """

    def at(images, value):
        tied = [i for i in images if d[i] == value]
        return {i: 1 / len(tied) for i in tied}

    def term(plus, minus):
        return {i: plus.get(i, 0.0) - minus.get(i, 0.0) for i in {*plus, *minus}}

    if strategy == "batch_hard":
        farthest, nearest = max(d[p] for p in positives), min(d[n] for n in negatives)
        yield farthest - nearest, term(at(positives, farthest), at(negatives, nearest))
    elif strategy in ("batch_all", "basic"):
        for p, n in itertools.product(positives, negatives):
            yield d[p] - d[n], {p: 1.0, n: -1.0}
    elif strategy == "batch_sample":
        p, n = min(itertools.product(positives, negatives), key=lambda pair: cost_drawn(d[pair[0]] - d[pair[1]]))
        yield d[p] - d[n], {p: 1.0, n: -1.0}
    elif strategy in ("tf_batch_semi_hard", "batch_semi_hard"):
        for p in positives:
            beyond = [d[n] for n in negatives if d[n] > d[p]]
            if beyond or strategy == "tf_batch_semi_hard":
                chosen = min(beyond) if beyond else max(d[n] for n in negatives)
                first = next(n for n in negatives if d[n] == chosen)
                yield d[p] - chosen, term({p: 1.0}, {first: 1.0})
    elif strategy in ("hap2s_p", "hap2s_e"):
        to_positives, plus = point_to_set(positives, d, strategy, 10.0, 1 / 0.5)
        to_negatives, minus = point_to_set(negatives, d, strategy, -20.0, -1 / 0.5)
        yield to_positives - to_negatives, term(plus, minus)
    else:
        raise AssertionError(strategy)


def point_to_set(images, d, strategy, alpha, factor):
    """Weighted mean distance, and its derivatives."""
    values = np.array([d[i] for i in images])
    if strategy == "hap2s_p":
        weights, slopes = (values + 1) ** alpha, alpha * (values + 1) ** (alpha - 1)
    else:
        weights, slopes = np.exp(factor * values), factor * np.exp(factor * values)
    mean = weights @ values / weights.sum()
    return mean, dict(zip(images, (weights + slopes * (values - mean)) / weights.sum(), strict=True))


def oracle(strategy, labels, embeddings, margin, metric, *, batch_all_mean="active", anchors=None, drawn=None):
    """(loss, gradient (N, D), active fraction, number of terms) of anchors 0 .. `anchors` - 1 (all) against all.

    `drawn`: what `batch_sample` has found for each anchor.
    """
    embeddings = np.asarray(embeddings, np.float64)
    chosen = []  # (anchor, x, {image: dx / d distance})
    for a in range(len(labels) if anchors is None else anchors):
        positives = [i for i in range(len(labels)) if labels[i] == labels[a] and i != a]
        negatives = [i for i in range(len(labels)) if labels[i] != labels[a]]
        if strategy == "basic":  # rows 3t, 3t + 1 and 3t + 2
            positives, negatives = ([a + 1], [a + 2]) if a % 3 == 0 and a + 2 < len(labels) else ([], [])
        if positives and negatives:
            d = [distance(embeddings[a], other, metric)[0] for other in embeddings]
            terms = terms_of(strategy, positives, negatives, d, lambda x, a=a: abs(cost(x, margin)[0] - drawn[a]))
            chosen += [(a, x, slopes) for x, slopes in terms]
    costs = [cost(x, margin) for _, x, _ in chosen]
    active = [i for i, (value, _) in enumerate(costs) if value > 0]
    kept = active if strategy == "batch_all" and batch_all_mean == "active" else range(len(costs))
    gradient = np.zeros_like(embeddings)
    for i in kept:
        a, _, slopes = chosen[i]
        for image, slope in slopes.items():
            weight = costs[i][1] * slope / len(kept)
            gradient[a] += weight * distance(embeddings[a], embeddings[image], metric)[1]
            gradient[image] += weight * distance(embeddings[image], embeddings[a], metric)[1]
    loss = sum(costs[i][0] for i in kept) / len(kept) if kept else 0.0
    return loss, gradient, len(active) / max(1, len(chosen)), len(chosen)
