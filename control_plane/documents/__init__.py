"""PDFs and other files of a conversation, converted to the form that the call's model reads."""
