"""The model hub: the only part of edgemed that uses a network, for `convert OWNER/NAME` and `pull`."""
