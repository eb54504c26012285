"""The text of PDFs, read in a process of its own that can be ended: a stranger made them."""
