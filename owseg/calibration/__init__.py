"""From anomaly scores to probabilities, and to thresholds that keep a promise.

table.py      the calibration map: a table from scores to probabilities, part of the manifest
fit.py        fitting it: Platt and isotonic
curves.py     false alarms and misses of each frame over all thresholds
bounds.py     what such figures of some frames say of all frames
promise.py    the threshold that keeps a promise
run.py        a model over a data set
rewrite.py    a bundle with another manifest
plot.py       the reliability diagram
"""
