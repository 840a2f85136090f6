"""Training made visible: films, pictures and findings."""
