"""Objectives with a rival that judges rows: a GAN, and any other objective with a rival beside it."""

from lambent.objectives.adversarial.gan import Gan
from lambent.objectives.adversarial.hybrid import Adversarial, VaeGan
from lambent.objectives.adversarial.judge import Judge

__all__ = ["Adversarial", "Gan", "Judge", "VaeGan"]
