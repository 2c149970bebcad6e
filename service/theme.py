"""A municipality's own look: one CSS file of design tokens (NL Design System), served as it is from this host.

Read and judged once, at the start. The page's Content-Security-Policy would stop a request to another host in any
case; here a theme that would need one is refused with the reason.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import Refused

LIMIT_BYTES: Final = 256 * 1024

_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([0-9a-fA-F]{1,6})[ \t\r\n\f]?|\\(.)", re.DOTALL)
_ELSEWHERE: Final = re.compile(r"@import|://|url\(\s*['\"]?\s*//", re.IGNORECASE)
_CLASS: Final = re.compile(r"\.([a-z][a-z0-9-]*-theme)\b", re.ASCII)
_DARK: Final = re.compile(r"prefers-color-scheme")


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """`classes` are put on the page's root: token files are written for a class such as `voorbeeld-theme`."""

    css: bytes | None
    classes: tuple[str, ...] = ()
    has_dark: bool = False  # else it is used by light only: its dark text would be unreadable on a dark ground


NO_THEME: Final = Theme(css=None)


def load(path: Path | None) -> Theme:
    """The theme in a file. Raises Refused with the reason and page.theme in it."""
    if path is None:
        return NO_THEME
    try:
        # Not blocking: a pipe without a writer would hold up the page's start for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused(f"page.theme: {path} is not a regular file")
            css = file.read(LIMIT_BYTES + 1)
    except OSError as err:
        raise Refused(f"page.theme: {path} cannot be read: {err.strerror}; give a file that the page may read") from err
    if len(css) > LIMIT_BYTES:
        raise Refused(f"page.theme: {path} is larger than {LIMIT_BYTES // 1024} KiB; leave out what is not a token")
    try:
        text = _plain(css.decode("utf-8"))
    except UnicodeDecodeError as err:
        raise Refused(f"page.theme: {path} is not UTF-8 text") from err
    if found := _ELSEWHERE.search(text):
        raise Refused(f"page.theme: {path} holds {found[0]!r}; take out every @import and every address")
    classes = tuple(dict.fromkeys(_CLASS.findall(text)))[:8]
    return Theme(css=css, classes=classes, has_dark=bool(_DARK.search(text)))


def _plain(css: str) -> str:
    """Without comments, and with escaped letters undone, as a browser reads it."""

    def undone(match: re.Match[str]) -> str:
        code = int(match[1], 16) if match[1] else 0
        return match[2] or (chr(code) if 0 < code <= 0x10FFFF else "\ufffd")

    return _ESCAPE.sub(undone, _COMMENT.sub("", css))
