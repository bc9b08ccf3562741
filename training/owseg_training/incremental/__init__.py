"""Incremental few-shot learning: new classes from a few images of which only they are annotated.

Source: Cen et al., "Deep Metric Learning for Open World Semantic Segmentation",
ICCV 2021, Section 4.3.
"""
