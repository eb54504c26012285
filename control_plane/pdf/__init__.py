"""The text of PDFs, read in a separate process that can be killed: their authors are untrusted."""
