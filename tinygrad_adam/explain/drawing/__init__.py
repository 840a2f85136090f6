"""The graph of a result as a picture in SVG, whose modules fold and unfold."""
