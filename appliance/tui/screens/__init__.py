"""One file a screen; a screen arranges widgets and carries their messages to the app."""
