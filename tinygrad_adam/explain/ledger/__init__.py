"""The ledger of a step: each quantity with its formula and the numbers put in."""
