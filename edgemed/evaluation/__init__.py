"""How far two models are apart: divergence, multiple choice, a report card."""
