"""Imputer: scikit-learn's own law-book, with an empty list of expected failures; frames, pipelines, truth."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import lambent
from lambent import Imputer, UsageError


@parametrize_with_checks([Imputer(2, epochs=2, codes=4)], expected_failed_checks=lambda _: {})
def test_scikit_learn_check(estimator, check):
    check(estimator)
