"""Packed bodies, unpacked in small pieces: what is not read yet takes no memory.

aiohttp unpacks a quarter of a megabyte ahead, which 128 lanes that wait would all hold.
"""

import zlib
from collections.abc import Iterator
from typing import Final

_PIECE_BYTES: Final = 64 * 1024
# zlib's names for "a gzip or zlib head tells which" and "no head at all".
_WITH_HEAD: Final = zlib.MAX_WBITS | 32
_RAW: Final = -zlib.MAX_WBITS


class BadlyPacked(Exception):
    """The body is not packed as its head says, or not to its end."""


class Unpacker:
    """Unpacks one body. encoding: the answer's Content-Encoding, "" for none."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "deflate"):
            raise BadlyPacked
        self._is_packed = self._encoding in ("gzip", "deflate")
        self._unpacking: zlib._Decompress | None = None

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What the next bytes of the body unpack to. Raises BadlyPacked."""
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
                raise BadlyPacked from None
            packed = self._unpacking.unconsumed_tail
            # After a full piece, output may be left although all input has been consumed.
            is_more = bool(packed) or len(piece) == _PIECE_BYTES
            if self._unpacking.eof:
                # A gzip body may have several parts, one after another.
                packed = self._unpacking.unused_data if self._encoding == "gzip" else b""
                self._unpacking = None
                is_more = bool(packed)
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises BadlyPacked where the body ended midway."""
        if self._unpacking is not None:
            raise BadlyPacked

    def _window_bits(self, first_byte: int) -> int:
        """Some servers leave out the head of "deflate", which is 8 in its lower half."""
        is_raw = self._encoding == "deflate" and first_byte & 0x0F != 8
        return _RAW if is_raw else _WITH_HEAD
