"""Seeded choices and reversible ids, so that a record can be computed from its index alone."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def seed_key(seed: int, purpose: str) -> bytes:
    """Returns 32 bytes that differ for every seed and purpose."""
    return blake2b(f"{seed}/{purpose}".encode(), digest_size=32).digest()


class Draw:
    """A series of small choices that depend only on (key, index): 512 bits, spent by division."""

    __slots__ = ("_bits",)

    def __init__(self, key: bytes, index: int) -> None:
        self._bits = int.from_bytes(blake2b(b"%d" % index, key=key).digest(), "little")

    def take(self, limit: int) -> int:
        """Returns a number from 0 to limit - 1."""
        self._bits, value = divmod(self._bits, limit)
        return value

    def of(self, choices: Sequence[T]) -> T:
        return choices[self.take(len(choices))]


class Scramble:
    """A bijection of [0, 2**bits): ids look random, never collide, and map back to their index."""

    def __init__(self, key: bytes, bits: int) -> None:
        draw = Draw(key, 0)
        self._size = 1 << bits
        self._half = (bits + 1) // 2
        self._offset = draw.take(self._size)
        self._odd = draw.take(self._size) | 1
        self._inverse = pow(self._odd, -1, self._size)

    def forward(self, index: int) -> int:
        value = (index + self._offset) * self._odd % self._size
        value ^= value >> self._half
        value = value * self._odd % self._size
        return value ^ (value >> self._half)

    def backward(self, value: int) -> int:
        value ^= value >> self._half
        value = value * self._inverse % self._size
        value ^= value >> self._half
        return (value * self._inverse - self._offset) % self._size


class Coder:
    """Converts an index to `length` characters of `alphabet` (a power of two of them) and back."""

    def __init__(self, key: bytes, alphabet: str, length: int) -> None:
        self._alphabet = alphabet
        self._values = {character: value for value, character in enumerate(alphabet)}
        self._width = (len(alphabet) - 1).bit_length()
        self._length = length
        self._scramble = Scramble(key, self._width * length)

    def text(self, index: int) -> str:
        value = self._scramble.forward(index)
        mask, characters = len(self._alphabet) - 1, []
        for _ in range(self._length):
            characters.append(self._alphabet[value & mask])
            value >>= self._width
        return "".join(characters)

    def index(self, text: str) -> int | None:
        """Returns the index of `text`, or None if it cannot be one of ours."""
        value = 0
        for character in reversed(text):
            if character not in self._values:
                return None
            value = value << self._width | self._values[character]
        return self._scramble.backward(value) if len(text) == self._length else None
