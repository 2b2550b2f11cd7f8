"""Drawings of Recall@1 as inline SVG: how many classes have how much, and a class's share with its interval."""

from collections.abc import Sequence

from visualization.kit.colours import INK, PALETTE

BINS = 10  # of 10% each; the last one has the 100%
BAR, LINE = PALETTE[1], INK  # sky blue, and a line that stands out from it

_WIDTH, _HEIGHT, _LEFT, _TOP, _BELOW = 640, 200, 12, 22, 44
_CELL_WIDTH, _CELL_HEIGHT = 120, 16


def draw_histogram(shares: Sequence[float]) -> str:
    """How many classes have a Recall@1 in each tenth of 0 to 1, as bars with their number on top."""
    counts = [0] * BINS
    for share in shares:
        # 0.3 is a tenth's beginning, though as a share of three in ten it is a hair less than 3 * 0.1.
        counts[min(int(share * BINS + 1e-9), BINS - 1)] += 1
    step, tallest = (_WIDTH - 2 * _LEFT) / BINS, max([*counts, 1])
    parts = [
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_TOP + _HEIGHT + _BELOW}" role="img" '
        f'aria-label="number of classes by recall@1: {", ".join(map(str, counts))} in each tenth from 0 to 100 %">'
    ]
    base = _TOP + _HEIGHT
    for place, count in enumerate(counts):
        x, height = _LEFT + place * step, _HEIGHT * count / tallest
        parts.append(
            f'<rect x="{x + 2:.1f}" y="{base - height:.1f}" width="{step - 4:.1f}" height="{height:.1f}" fill="{BAR}"/>'
        )
        if count:
            parts.append(_text(x + step / 2, base - height - 5, f"{count:,}"))
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{base}" y2="{base}" stroke="{LINE}"/>')
    parts += [_text(_LEFT + place * step, base + 17, f"{100 * place // BINS}") for place in range(BINS + 1)]
    parts.append(_text(_WIDTH / 2, base + 37, "recall@1 of a class, %"))
    return "".join([*parts, "</svg>"])


def draw_share(share: float, interval: tuple[float, float]) -> str:
    """A bar from 0 to the share, in a frame from 0 to 1, and a line from end to end of the interval."""
    low, high = (1 + end * (_CELL_WIDTH - 2) for end in interval)
    middle = _CELL_HEIGHT / 2
    ends = "".join(f'<path d="M{x:.1f} 4v{_CELL_HEIGHT - 8}" stroke="{LINE}"/>' for x in (low, high))
    return (
        f'<svg class="share" viewBox="0 0 {_CELL_WIDTH} {_CELL_HEIGHT}" width="{_CELL_WIDTH}" height="{_CELL_HEIGHT}" '
        f'aria-hidden="true"><rect x=".5" y=".5" width="{_CELL_WIDTH - 1}" height="{_CELL_HEIGHT - 1}" fill="#fff" '
        f'stroke="#999"/><rect x="1" y="1" width="{share * (_CELL_WIDTH - 2):.1f}" height="{_CELL_HEIGHT - 2}" '
        f'fill="{BAR}"/><path d="M{low:.1f} {middle}H{high:.1f}" stroke="{LINE}"/>{ends}</svg>'
    )


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{INK}">{words}</text>'
