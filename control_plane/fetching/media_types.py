"""The media type of a file, by its first bytes: names and headers are only claims. Pure."""

PDF = "application/pdf"

PDF_BEGINS_WITHIN = 1024
"""Bytes that readers let stand before a PDF's header."""

IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def media_type_of(content: bytes) -> str | None:
    """The media type of a PDF or an image that models read; None for anything else."""
    for beginning, kind in IMAGES.items():
        if content.startswith(beginning):
            return kind
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    return PDF if b"%PDF-" in content[:PDF_BEGINS_WITHIN] else None
