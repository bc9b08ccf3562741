"""What the losses of some frames say of all frames, however they are distributed.

The unit is the frame: the pixels of one are anything but independent, so that a frame counts as
one draw, whatever its number of pixels. Frames must be exchangeable: drawn like those that are to
come. Neighbouring frames of one drive are not, see docs/calibration.md.

Each test answers: how likely are losses as small as these, were the true mean `limit` or more?
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatVector = npt.NDArray[np.float64]

_SEED = 0
_CAUTION = 0.99
"""Share of the largest bet that cannot ruin."""


def betting_p_value(losses: FloatVector, limit: float, level: float) -> FloatVector:
    """Test that the mean loss is `limit` or more, by betting against it.

    A gambler who stakes on each loss being below `limit`, and fixes the stake before seeing it,
    cannot be expected to win if the mean is `limit` or more: the chance of ever multiplying the
    capital by 1 / p is at most p. Stakes follow the variance so far, which makes the test much
    sharper than Hoeffding's bound where losses are small.

    Args:
        losses: (F, T) losses in [0, 1] of F frames under T rules.
        limit: in (0, 1).
        level: the p-value that matters most; it sets the size of the stakes.

    Returns:
        (T,) p-values in [0, 1].

    Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting,
        JRSS B 2024; as in Bates et al., Distribution-free, risk-controlling prediction sets,
        JACM 2021.
    """
    frames = losses.shape[0]
    order = np.random.default_rng(_SEED).permutation(frames)  # of no use where frames are a trend
    capital, most = np.zeros(losses.shape[1]), np.zeros(losses.shape[1])
    total, spread = np.full(losses.shape[1], 0.5), np.full(losses.shape[1], 0.25)
    largest = _CAUTION / (1.0 - limit)
    for seen, frame in enumerate(order, start=1):
        loss = losses[frame]
        stake = np.sqrt(2.0 * math.log(1.0 / level) * seen / (frames * spread))
        capital += np.log1p(np.minimum(stake, largest) * (limit - loss))
        most = np.maximum(most, capital)
        total = total + loss
        spread = spread + (loss - total / (seen + 1)) ** 2
    return np.exp(-most)


def binomial_p_value(losses: FloatVector, limit: float) -> FloatVector:
    """Test that the share of frames with loss 1 is `limit` or more: exact, for losses 0 and 1.

    Where it is at most 5 %, the 95 % upper bound of Clopper and Pearson is at most `limit`.

    Args:
        losses: (F, T), 0 or 1.
        limit: in (0, 1).

    Returns:
        (T,) p-values in [0, 1].

    Source: Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 1934.
    """
    frames = losses.shape[0]
    count = np.arange(frames + 1)
    steps = np.log((frames - count[1:] + 1) / count[1:]) + math.log(limit / (1 - limit))
    logs = frames * math.log1p(-limit) + np.concatenate(([0.0], np.cumsum(steps)))
    at_most = np.minimum(1.0, np.cumsum(np.exp(logs)))
    p_values: FloatVector = at_most[np.round(losses.sum(axis=0)).astype(np.intp)]
    return p_values


def expected_loss(losses: FloatVector) -> FloatVector:
    """Return what the expected loss of one more frame cannot exceed, of rules that are nested.

    The rule must be the first that stays below a limit, coming from the side where the loss is 0:
    then the promise holds on average over the frames that were drawn.

    Args:
        losses: (F, T) losses in [0, 1], falling or growing along T.

    Returns:
        (T,) (sum of losses + 1) / (F + 1).

    Source: Angelopoulos et al., Conformal risk control, ICLR 2024, Eq. 4 with B = 1.
    """
    bound: FloatVector = (losses.sum(axis=0) + 1.0) / (losses.shape[0] + 1.0)
    return bound
