"""JPEG of bytes: a grayscale image whose samples, row after row, are the bytes. Lossy."""

from __future__ import annotations

import io
from typing import Any

from asynctensor.chunked.compression.codec import BytesCodec, damaged, wrong_length
from asynctensor.errors import InvalidArgument, Unimplemented
from asynctensor.storage.kvstore import Buffer

#: The format has 16 bits for each side.
_MAX_SIDE = 65535


class JpegCodec(BytesCodec):
    """Baseline or progressive JPEG of one component of 8 bits.

    Args:
        width: Length of the rows of the images to write; those that are read may have any.
        quality: 0 to 100.

    Raises:
        Unimplemented: Pillow is not installed.
    """

    name = "jpeg"

    def __init__(self, *, width: int, quality: int) -> None:
        self._width = width
        self._quality = quality
        self._pillow = _pillow()

    def decode_into(self, data: Buffer, out: memoryview) -> None:
        out[:] = self.decode_exactly(data, len(out))

    def decode_exactly(self, data: Buffer, size: int) -> Buffer:
        image = self._opened(data)
        if image.width * image.height != size:
            raise wrong_length(self.name, image.width * image.height, size)
        return self._samples(image)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        image = self._opened(data)
        if image.width * image.height > limit:
            raise wrong_length(self.name, image.width * image.height, limit)
        return self._samples(image)

    def _opened(self, data: Buffer) -> Any:
        """The image; only its header has been looked at."""
        try:
            # Not `Image.open`: it tries other formats, and warns of sizes that we check.
            image = self._pillow.JpegImageFile(io.BytesIO(bytes(data)))
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            raise damaged(self.name, error) from error
        if image.mode != "L":
            raise damaged(self.name, f'expected one component, got an image of mode "{image.mode}"')
        return image

    def _samples(self, image: Any) -> bytes:
        try:
            samples: bytes = image.tobytes()
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            raise damaged(self.name, error) from error
        return samples

    def encode(self, data: Buffer) -> Buffer:
        height = len(data) // self._width
        if max(self._width, height) > _MAX_SIDE or not height:
            raise InvalidArgument(
                f"jpeg: cannot encode an image of {self._width} x {height} (each side is 1 to "
                f"{_MAX_SIDE}); use other chunks"
            )
        target = io.BytesIO()
        shape = (self._width, height)
        image = self._pillow.Image.frombytes("L", shape, bytes(data))
        image.save(target, "JPEG", quality=self._quality)
        return target.getvalue()


def _pillow() -> Any:
    try:
        from PIL import JpegImagePlugin
    except ImportError as error:
        raise Unimplemented(
            'the compression "jpeg" needs Pillow: pip install "asynctensor[jpeg]"'
        ) from error
    return JpegImagePlugin
