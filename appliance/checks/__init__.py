"""What `appliance doctor` looks at, one question a function; each only reads."""
