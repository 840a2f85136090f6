"""The engine, to be read first: values, operations, the walk back, modes, events."""
