"""The perception node: each image in, masks, anomaly, unknown objects and an overlay out."""
