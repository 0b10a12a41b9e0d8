"""One module per page: read, arrange, render."""
