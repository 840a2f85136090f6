"""Finding a GPU, feeding it, and saying why it cannot be used."""
