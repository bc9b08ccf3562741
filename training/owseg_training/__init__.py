"""Training of open-world segmentation networks (needs torch)."""
