"""The HTML that objects show as the last line of a notebook's cell."""
