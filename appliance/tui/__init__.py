"""The operator's console: a client of the daemon that reads the ledger and speaks to the socket, nothing else."""
