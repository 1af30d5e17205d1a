"""The chat's screens. Every one of them shows the header and the model's notice (see `noticed`)."""
