"""Proof: what an outsider needs to check the ledger without trusting the device."""
