"""Damaged inputs for every reader: nothing but an error of ours, no crash, no hang, no memory without bound."""
