"""Colours of all pictures and pages."""

# Okabe and Ito's palette, which colour-blind readers can distinguish: orange, sky blue, bluish green, yellow, blue,
# vermilion, reddish purple, black.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
RIGHT, WRONG = PALETTE[2], PALETTE[5]  # a tick and a cross, a solid and a dashed line say the same
BAR, DARK_BAR = PALETTE[1], "#2f7fb5"  # bars of a page, on white and on nearly black
INK, FAINT = "#222222", "#767676"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of "#rrggbb"."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
