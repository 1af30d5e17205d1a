"""What this machine can do with a model: what is measured here, and what follows for a model of any size."""
