"""Words of a request to typed values: one kind of value a module, every reader strict.

A reader returns None unless it can account for every word that it was given: a reading that leaves words unread is no
reading, because the word left over may be the one that matters ("tomorrow *at 8*").
"""
