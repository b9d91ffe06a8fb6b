"""Reading a study back."""
