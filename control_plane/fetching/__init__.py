"""Fetches files from addresses that clients name, without access to addresses that only this host can reach."""
