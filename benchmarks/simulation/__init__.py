"""Studies with known effects, and how often what is said of them is right."""
