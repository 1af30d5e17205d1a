"""The encrypted notebook of one clinician: cases, chats, drafts.

A vault is a folder with three files. `keys.json` holds the random data key, wrapped once under the passphrase and once
under the recovery words (`keys.py`, `words.py`). The database is encrypted with the data key (`database.py`). `lock`
keeps a second program out (`lock.py`). `folder.py` creates and opens a vault.
"""
