"""The chat's screens. Each shows the header and the model's notice (see `noticed`)."""
