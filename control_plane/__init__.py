"""A thin control plane in front of LLMs that bills by job. The map of the house: README.md beside this file."""
