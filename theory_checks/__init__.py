"""The theorems tested on runs: one result a file."""
