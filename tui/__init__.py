"""The terminal chat. `edgemed.tui.launch` opens it; importing this package alone imports no Textual."""
