"""Models that read texts: calibration (what texts do inside) and evaluation (how far two models are apart)."""
