"""Finding a GPU, copying batches to it, and the diagnosis if it cannot be used."""
