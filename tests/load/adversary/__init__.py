"""Requests that were made to hold the server or fill its memory, while customers are served."""
