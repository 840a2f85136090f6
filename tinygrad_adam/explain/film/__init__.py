"""The film of a training: one page of HTML that plays its steps."""
