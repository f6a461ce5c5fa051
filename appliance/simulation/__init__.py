"""A fleet of thousands on one machine, made of the device's own parts: `appliance fleet simulate`."""
