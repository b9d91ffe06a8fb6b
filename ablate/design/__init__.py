"""The mathematics of designs, shared by plan and report."""
