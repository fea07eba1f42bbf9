"""How many runs of a circuit an answer of a given error takes."""

import math

__all__ = ["shots_for_magnitudes", "shots_for_number", "shots_for_signed_magnitudes", "shots_for_vector"]


def shots_for_vector(dimension: int, error: float) -> int:
    r"""Runs for all D amplitudes of a real unit vector y, signs included: S = (D - 1) / error^2.

    A further wire holds |0> y + |1> u, u_I = 1/sqrt(D), and is measured after a Hadamard. With f_0I and f_1I the
    fractions of outcomes, y'_I = sqrt(D) (f_0I - f_1I) has the mean y_I, and summed over I the variance

        D sum_I [(y_I^2 + 1/D)/2 - y_I^2/D] / S = (D - 1)/S ,

    whatever y is.

    Args:
        dimension: D, at least 1.
        error: root mean square of |y' - y|.

    >>> shots_for_vector(10, 0.1)
    900
    """
    return _whole(max(dimension - 1, 1), error)


def shots_for_magnitudes(dimension: int, error: float) -> int:
    r"""Runs for the magnitudes |y_I| alone, from counts: S = (D - 1) / (4 error^2).

    sqrt(f_I) has the variance (1 - y_I^2)/(4 S) for S y_I^2 >> 1: the number for many shots, not a bound.

    Args:
        dimension: D, at least 1.
        error: root mean square of the distance between the vectors of magnitudes.
    """
    return _whole(max(dimension - 1, 1), 2 * error)


def shots_for_signed_magnitudes(dimension: int, error: float) -> int:
    r"""Runs for y by magnitudes and signs, in all: S = (D - 1) / (2 error^2), half of them for each.

    Half of what `shots_for_vector` takes, in the limit where every sign is right: S y_I^2 >> 1 for all I. It is the
    protocol "magnitudes" of :func:`qicircuits.circuits.measure_layer`.

    Args:
        dimension: D, at least 1.
        error: root mean square of |y' - y|.

    >>> shots_for_signed_magnitudes(10, 0.1)
    450
    """
    return 2 * shots_for_magnitudes(dimension, error)


def shots_for_number(error: float) -> int:
    """Runs for one expectation value of an observable between -1 and 1, to a root mean square error: 1 / error^2."""
    return _whole(1, error)


def _whole(variance: int, error: float) -> int:
    # Rounded before the ceiling: 9 / 0.1^2 is 900 and a little in floating point.
    return math.ceil(round(variance / error**2, 6))
