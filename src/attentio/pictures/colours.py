"""From a weight to a colour: one scale for the page, pictures and the terminal.

The ramps are straight lines between a few colours in OKLab, in which equal steps look equal; their lightness only falls
(on light) or rises (on dark), so that they keep their order for the colour-blind and in grey print.
Reference: https://bottosson.github.io/posts/oklab
"""

import numpy as np

STEPS = 256
TICKS = (0, 0.02, 0.1, 0.25, 0.5, 1)
"""Weights that a legend names; colours stand at their square roots."""

# Lightness, chroma, hue in degrees.
_STOPS = {
    "light": ((0.985, 0.004, 250), (0.9, 0.045, 225), (0.76, 0.095, 225), (0.6, 0.135, 247), (0.44, 0.16, 268),
              (0.25, 0.11, 280)),
    "dark": ((0.215, 0.018, 270), (0.34, 0.07, 277), (0.48, 0.1, 255), (0.63, 0.105, 222), (0.8, 0.095, 185),
             (0.965, 0.05, 130)),
}  # fmt: skip
_TO_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.707614701],
    ]
)


def _ramp(stops: np.ndarray) -> np.ndarray:
    lightness, chroma, hue = stops.T
    lab = np.stack([lightness, chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))])
    at = np.linspace(0, 1, STEPS)
    lines = np.stack([np.interp(at, np.linspace(0, 1, len(stops)), axis) for axis in lab])
    linear = (_TO_RGB @ (_TO_CONES @ lines) ** 3).clip(0, 1)
    return np.rint(255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).T.astype(
        int
    )


RAMPS = {theme: _ramp(np.array(stops)) for theme, stops in _STOPS.items()}
"""Red, green and blue from 0 to 255, [256, 3], for a light ground and for a dark one."""


def colour(weight: float) -> str:
    """#rrggbb of a weight from 0 to 1, on a light ground."""
    red, green, blue = RAMPS["light"][round((STEPS - 1) * min(max(weight, 0.0), 1.0) ** 0.5)]
    return f"#{red:02x}{green:02x}{blue:02x}"
