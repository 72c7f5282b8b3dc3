"""The scikit-learn faces."""

from lambent.estimators.vae import VAE, load_estimator

__all__ = ["VAE", "load_estimator"]
