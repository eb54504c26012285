"""PDFs and other files of a conversation, brought into the form that the model of the call reads."""
