"""The scikit-learn faces."""

from lambent.estimators.cells import Cells
from lambent.estimators.detector import Detector
from lambent.estimators.imputer import Imputer
from lambent.estimators.stored import load_estimator
from lambent.estimators.vae import VAE

__all__ = ["VAE", "Cells", "Detector", "Imputer", "load_estimator"]
