"""A TOML text and the record it should become: faults with their lines, and the commented file to start from."""
