"""Amounts as people read them; the same everywhere, so that two of them can be compared."""

from __future__ import annotations

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def bytes_in_words(count: float) -> str:
    """Bytes of memory or of files, in powers of ten, with the two or three digits that matter.

    >>> [bytes_in_words(n) for n in (0, 999, 5_000, 69_032, 642_300_000, 2_530_000_000)]
    ['0 bytes', '999 bytes', '5.0 kB', '69 kB', '642 MB', '2.53 GB']
    >>> bytes_in_words(999_999_999), bytes_in_words(139_500_000_000)
    ('1.00 GB', '140 GB')
    """
    for limit, unit in _UNITS:
        if count >= limit * 0.9995:
            number = count / limit
            digits = 3 if limit >= 1e9 else 2
            places = max(0, digits - len(f"{number:.0f}"))
            return f"{number:,.{places}f} {unit}"
    return f"{count:,.0f} bytes"
