"""Red flags: rules that read what the user wrote, before the model does. NOT CLINICALLY REVIEWED."""
