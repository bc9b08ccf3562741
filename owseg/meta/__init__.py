"""Meta classification: which unknown objects are false alarms, judged by how they look.

features.py   what is measured of each object, from what a vehicle has anyway
model.py      the classifier as a JSON file, run with numpy alone
truth.py      objects against ground truth: found, missed, false
fit.py        fitting, with scikit-learn
run.py        a model over a data set
"""
