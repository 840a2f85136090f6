"""The chain rule of one backward pass, operation by operation."""
