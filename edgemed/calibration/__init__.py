"""What texts do inside a model: routing, activations, and the effect of each part's precision on the next token."""
