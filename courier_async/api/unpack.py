"""Decompresses bodies in small pieces, so that what is not read yet takes no memory.

aiohttp decompresses a quarter of a megabyte ahead, which each of 128 waiting lanes would hold.
"""

import zlib
from collections.abc import Iterator
from typing import Final

_PIECE_BYTES: Final = 64 * 1024
# zlib's values for "detect a gzip or zlib header" and "no header".
_WITH_HEAD: Final = zlib.MAX_WBITS | 32
_RAW: Final = -zlib.MAX_WBITS


class BadEncoding(Exception):
    """The body is not compressed as its header says, or it is cut short."""


class Unpacker:
    """Decompresses one body. encoding: the response's Content-Encoding, "" for none."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "deflate"):
            raise BadEncoding
        self._is_packed = self._encoding in ("gzip", "deflate")
        self._unpacking: zlib._Decompress | None = None

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """Yields the body's next bytes, decompressed. Raises BadEncoding if they are corrupt."""
        if not self._is_packed:
            yield packed
            return
        is_more = bool(packed)
        while is_more:
            if self._unpacking is None:
                self._unpacking = zlib.decompressobj(self._window_bits(packed[0]))
            try:
                piece = self._unpacking.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                raise BadEncoding from None
            packed = self._unpacking.unconsumed_tail
            # After a full piece, output may remain although all input has been consumed.
            is_more = bool(packed) or len(piece) == _PIECE_BYTES
            if self._unpacking.eof:
                # A gzip body may have several parts, one after another.
                packed = self._unpacking.unused_data if self._encoding == "gzip" else b""
                self._unpacking = None
                is_more = bool(packed)
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises BadEncoding if the body ended early."""
        if self._unpacking is not None:
            raise BadEncoding

    def _window_bits(self, first_byte: int) -> int:
        """Checks for the zlib header (lower half 8), which some servers omit from "deflate"."""
        is_raw = self._encoding == "deflate" and first_byte & 0x0F != 8
        return _RAW if is_raw else _WITH_HEAD
