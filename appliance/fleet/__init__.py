"""The controller: sends commands, keeps what devices report, acknowledges it. It speaks only the wire contract."""
