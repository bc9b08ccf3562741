"""The tables of the papers, redrawn from stored runs; what is missing is run.

A *benchmark* says what is trained on and where it is measured, a *network* is a variant of its
recipe, a *cell* has all figures of one network, one seed and one benchmark, and a *table* shows
rows of cells beside the figures that the paper prints.

Source: J. Cen et al., "Deep Metric Learning for Open World Semantic Segmentation", ICCV 2021;
S. Uhlemeyer et al., "Detecting and Learning the Unknown in Semantic Segmentation", 2022.
"""
