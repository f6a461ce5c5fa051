"""Parts of the screens; each owns its messages, its keys and its look."""
