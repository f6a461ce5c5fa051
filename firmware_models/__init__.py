"""Makes model bundles; the appliance runs without it."""
