"""Files from addresses that strangers name: fetched so that nobody gets at what only this machine can reach."""
