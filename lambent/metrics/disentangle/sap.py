"""SAP: the gap between the two units that predict a factor best, each alone."""

import numpy as np
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from lambent.metrics.disentangle.dci import above_chance
from lambent.metrics.disentangle.factors import Factors, Numbers, checked, gap
from lambent.metrics.disentangle.readers import standardized, thirds


def sap(codes: Numbers, factors: Factors, seed: int = 0) -> Numbers:
    """The gap of S[j, k] over units, [K]; SAP is the mean. S: how well unit j alone tells factor k.

    Of ordered factors R² = Cov(z_j, v_k)² / (Var z_j Var v_k); of names the balanced accuracy of thresholds on z_j on held-out
    rows, with chance at 0. Kumar, Sattigeri & Balakrishnan, Variational Inference of Disentangled Latent Concepts, ICLR 2018,
    who keep chance in. disentanglement_lib takes `sap_svm` for all factors.
    """
    codes = checked(codes, factors)
    scores = np.zeros((codes.shape[1], len(factors.names)))
    for k, ordered in enumerate(factors.ordered):
        if ordered:
            values = standardized(factors.values[:, [k]])
            scores[:, k] = (standardized(codes) * values).mean(0) ** 2
            continue
        classes = factors.classes[:, k]
        learned, held = thirds(len(codes), seed)
        for j in range(codes.shape[1]):
            reader = DecisionTreeClassifier(
                class_weight="balanced",
                max_leaf_nodes=2 * (int(classes.max()) + 1),
                min_samples_leaf=5,
                random_state=seed % 2**32,
            )
            told = reader.fit(codes[learned][:, [j]], classes[learned]).predict(codes[held][:, [j]])
            scores[j, k] = above_chance(classes[held], told)
    return gap(scores)


def sap_svm(codes: Numbers, factors: Factors, seed: int = 0) -> Numbers:
    """The gap of the accuracies of linear support vector machines (C = 0.01, balanced) of one unit each, [K].

    As disentanglement_lib takes it of discrete factors. A line through one unit cannot tell the middle one of three ordered
    values, so a perfect code of a factor of many values scores far below 1.
    """
    codes = checked(codes, factors)
    learned, held = thirds(len(codes), seed)
    scores = np.zeros((codes.shape[1], len(factors.names)))
    for k, classes in enumerate(factors.classes.T):
        if len(np.unique(classes[learned])) < 2:
            continue  # every unit tells it alike
        for j in range(codes.shape[1]):
            reader = LinearSVC(C=0.01, class_weight="balanced", random_state=seed % 2**32)
            told = reader.fit(codes[learned][:, [j]], classes[learned]).predict(codes[held][:, [j]])
            scores[j, k] = float(np.mean(told == classes[held]))
    return gap(scores)
