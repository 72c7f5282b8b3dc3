"""Rules about codes that are entries of a codebook: whether they are used."""

from lambent.report.numerals import show
from lambent.report.run.findings import Findings
from lambent.report.run.lookup import kind
from lambent.tasks.sections import Remark

ALONE = 2.0  # entries in use, as if evenly, below which a place tells next to nothing
HALF = 50.0  # percent of the entries below which the codebook is too large


def entries(findings: Findings) -> Remark | None:
    """Whether the model uses its codebook."""
    share, perplexity = findings.metric("codebook_usage"), findings.metric("codebook_perplexity")
    if share is None or perplexity is None:
        return None
    kl = findings.metric("kl")
    costs = "" if kl is None else f" Under the prior the code of a row costs {show(kl, 3)} nats."
    text = f"{show(share, 3)} % of the entries are used, with a perplexity of {show(perplexity, 3)}.{costs}"
    finite = kind(findings.spec, "quantizer") == "Finite"
    if perplexity < ALONE:
        other = "a higher learning rate or a stronger decoder" if finite else "the Finite quantizer"
        return Remark(
            "problem", "Collapsed", f"{text} Nearly every place holds the same entry.", f"Try {other}.", "collapsed"
        )
    if share < HALF:
        fewer = "fewer levels" if finite else "fewer entries"
        return Remark("notice", "Most entries are unused", text, f"Give {fewer} (--latent.quantizer).", "not collapsed")
    return Remark("good", "Not collapsed", text, answer="not collapsed")
