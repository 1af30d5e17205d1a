"""The chat and the desktop: locks with the session, locks before the computer sleeps, copies to the clipboard.

A sealed process can open no socket, so a small process does it for the chat (`helper.py`). The supervisor starts it
before the seal and gives every screen the other end of a socket pair (`client.py`). The helper holds no key and no
text: a text that is copied passes as a pipe, which the helper hands to the clipboard program unread.
"""
