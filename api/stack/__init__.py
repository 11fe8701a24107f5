"""Running everything on one machine, without Docker and without root."""
