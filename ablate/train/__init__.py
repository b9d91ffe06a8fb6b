"""Training one configuration on one device. The only folder, with run/, that is about torch."""
