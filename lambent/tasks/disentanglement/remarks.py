"""What a reader of the scores must know: a code that turns, units that are dead, factors that hang together."""

from sklearn.metrics import mutual_info_score

from lambent.metrics.disentangle.factors import BANDS, Factors
from lambent.metrics.disentangle.information import entropies
from lambent.tasks.disentanglement.codes import Coded, Rotation

SHARED = 0.05  # of the smaller entropy of two factors, above which they are said to hang together


def remarks_on(codes: Coded, factors: Factors, rotate: Rotation | None) -> list[str]:
    """Sentences on the code, the rotation, and factors that cannot be told apart."""
    found = []
    if codes.turned and rotate is None:
        found.append(
            "This model's prior or posterior has full covariances, so its code may turn freely and single units mean nothing: "
            "--rotate prior measures along the prior's own axes, --rotate varimax where each column of the data follows few "
            "units."
        )
    if rotate is not None:
        found.append(f"Measured after a rotation of the code ({rotate}); the model itself is unchanged.")
    if not codes.active.any():
        found.append("No unit is active: the code has collapsed, and there is nothing to keep apart.")
    elif codes.active.sum() < len(factors.names):
        found.append(
            f"{int(codes.active.sum())} of {len(codes.names)} units are active, for {len(factors.names)} factors: some cannot "
            "have a unit of their own."
        )
    if factors.left_out:
        found.append(f"Left out, as they have one value in these rows: {', '.join(factors.left_out)}.")
    if factors.banded:
        found.append(f"Cut into {BANDS} bands of equal frequency: {', '.join(factors.banded)}.")
    tied = _tied(factors)
    if tied:
        found.append(
            f"In these rows factors say something of one another ({', '.join(tied)}): no code can score 1 by gaps, and what "
            "looks entangled may be the data's own."
        )
    return found


def _tied(factors: Factors) -> list[str]:
    """Pairs of factors that hang together in these rows, beyond what so many rows show by chance."""
    sizes, found, entropy = factors.classes.max(0) + 1, [], entropies(factors)
    for a in range(len(sizes)):
        for b in range(a):
            shared = mutual_info_score(factors.classes[:, a], factors.classes[:, b])
            shared -= (sizes[a] - 1) * (sizes[b] - 1) / (2 * len(factors))
            if shared > SHARED * min(entropy[a], entropy[b]):
                found.append(f"{factors.names[b]} and {factors.names[a]}")
    return found
