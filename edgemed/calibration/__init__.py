"""What texts do inside a model: routing, activations, and what each part weighs on the next token."""
