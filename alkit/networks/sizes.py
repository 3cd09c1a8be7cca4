"""Sizes of images that a network supports."""


def fitting_size(height: int, width: int, factor: int) -> str:
    """Return the argument ``size=`` that is nearest to a size and divisible by `factor`.

    >>> fitting_size(33, 33, 8), fitting_size(3, 20, 8)
    ('size=32', 'size=(8, 16)')
    """
    sides = tuple(max(1, round(side / factor)) * factor for side in (height, width))
    return f"size={sides[0] if height == width else sides}"
