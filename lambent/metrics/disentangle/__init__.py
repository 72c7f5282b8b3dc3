"""How far the units of a code keep known factors apart: one family of measures in each file. Plain functions of arrays.

Codes are [rows, units], `Factors` are classes of the same rows. Where a measure differs from disentanglement_lib, its docstring
says how (Locatello et al., Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations, 2019).
"""
