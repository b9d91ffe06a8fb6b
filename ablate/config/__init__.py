"""What a run is: settings, their checks, and the signature that names a run."""
