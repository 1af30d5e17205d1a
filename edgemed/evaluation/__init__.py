"""How much a quantised model differs from a reference: KL divergence, multiple choice, and the report card."""
