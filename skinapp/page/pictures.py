"""Pictures inside the page itself: no file of them is written or can be fetched."""

import base64
import io

from PIL import Image


def data_uri(image: Image.Image, kind: str) -> str:
    """image: Pillow image; kind: JPEG or PNG -> a data URI without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
