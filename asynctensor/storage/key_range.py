"""Ranges of keys in lexicographical order of their UTF-8 bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from `inclusive_min` up to, but without, `exclusive_max`.

    Attributes:
        inclusive_min: Lower bound; the empty string is below every key.
        exclusive_max: Upper bound; the empty string means that there is none (TensorStore's rule).
    """

    inclusive_min: str = ""
    exclusive_max: str = ""

    @classmethod
    def prefix(cls, prefix: str) -> KeyRange:
        """The keys that start with `prefix`."""
        return cls(prefix, _after_prefix(prefix))

    @classmethod
    def singleton(cls, key: str) -> KeyRange:
        """The one key `key`."""
        return cls(key, key + "\0")

    @property
    def empty(self) -> bool:
        """Whether no key can lie in the range."""
        return bool(self.exclusive_max) and _utf8(self.inclusive_min) >= _utf8(self.exclusive_max)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        return _utf8(self.inclusive_min) <= _utf8(key) and (
            not self.exclusive_max or _utf8(key) < _utf8(self.exclusive_max)
        )

    def intersection(self, other: KeyRange) -> KeyRange:
        """The keys that lie in both; possibly an empty range."""
        low = max(self.inclusive_min, other.inclusive_min, key=_utf8)
        highs = [each for each in (self.exclusive_max, other.exclusive_max) if each]
        return KeyRange(low, min(highs, key=_utf8) if highs else "")

    def under(self, prefix: str) -> KeyRange:
        """The same range of keys with `prefix` put in front of each."""
        stop = prefix + self.exclusive_max if self.exclusive_max else _after_prefix(prefix)
        return KeyRange(prefix + self.inclusive_min, stop)

    @property
    def common_prefix(self) -> str:
        """The longest string that every key of the range starts with."""
        low, high = self.inclusive_min, self.exclusive_max
        if not high:
            return ""
        for length in range(len(low), -1, -1):
            if _after_prefix(low[:length]) == high:
                return low[:length]
        shared = 0
        while shared < min(len(low), len(high)) and low[shared] == high[shared]:
            shared += 1
        return low[:shared]


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _after_prefix(prefix: str) -> str:
    """The least string above every string that starts with `prefix`; empty if there is none."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1])
        if code < 0x10FFFF:
            # Surrogates are no text: step over them.
            following = 0xE000 if code == 0xD7FF else code + 1
            return prefix[: end - 1] + chr(following)
    return ""
