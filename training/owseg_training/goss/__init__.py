"""Generalised open-set segmentation: known classes, and segments of what is unknown.

Source: J. Hong et al., "GOSS: Towards Generalized Open-set Semantic Segmentation", 2022.
"""
