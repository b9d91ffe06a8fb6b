"""What the report says of a study, as plain text and numbers: no markup, no figures."""
