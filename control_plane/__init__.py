"""A thin control plane in front of LLMs that bills by job. The architecture: README.md beside this file."""
