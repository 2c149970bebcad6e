"""A municipality's token file: served as it is, or refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from edge.config import Page
from edge.errors import Refused
from service.theme import LIMIT_BYTES, NO_THEME, load
from tests.service import saying
from tests.service.test_app import free_port, serving

TOKENS = ".voorbeeld-theme { --nl-link-color: #b00; --utrecht-document-font-family: 'Fira Sans' }\n"


def file(folder: Path, text: str | bytes) -> Path:
    path = folder / "theme.css"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_no_theme_is_no_file() -> None:
    assert load(None) is NO_THEME


def test_a_token_file_is_served_as_it_is_and_its_class_stands_on_the_page(tmp_path: Path) -> None:
    config = saying.config(port=free_port())
    config = config.model_copy(update={"page": Page(port=config.page.port, theme=file(tmp_path, TOKENS))})
    with serving(config), httpx.Client(trust_env=False, base_url=f"http://127.0.0.1:{config.page.port}") as client:
        answer = client.get("/static/theme.css")
        assert (answer.text, answer.headers["content-type"]) == (TOKENS, "text/css; charset=utf-8")
        page = client.get("/").text
        assert '<html lang="nl" class="voorbeeld-theme">' in page
        assert '<link rel="stylesheet" href="/static/theme.css" media="(prefers-color-scheme: light)">' in page


def test_without_a_theme_there_is_no_such_file() -> None:
    config = saying.config(port=free_port())
    with serving(config), httpx.Client(trust_env=False, base_url=f"http://127.0.0.1:{config.page.port}") as client:
        assert client.get("/static/theme.css").status_code == 404
        assert "theme.css" not in client.get("/").text


def test_a_theme_that_knows_the_dark_is_used_in_the_dark(tmp_path: Path) -> None:
    assert load(file(tmp_path, TOKENS + "@media (prefers-color-scheme: dark) { a { color: red } }")).has_dark
    assert not load(file(tmp_path, TOKENS)).has_dark


@pytest.mark.parametrize(
    "css",
    [
        "@import 'a.css';",
        "@IMPORT url(a.css);",
        "a { background: url(https://elsewhere.example/a.png) }",
        "a { background: url('//elsewhere.example/a.png') }",
        "a { background: url( //elsewhere.example/a.png) }",
        "a { background: image-set('http://elsewhere.example/a.png' 1x) }",
        r"@\69mport 'a.css';",
        r"a { background: u\72l(\2f/elsewhere.example) }",
        "@imp/**/ort 'a.css'; @import/**/'a.css';",
    ],
)
def test_what_would_ask_another_host_is_refused(tmp_path: Path, css: str) -> None:
    with pytest.raises(Refused, match=r"^page\.theme: .*theme\.css holds .*take out every @import and every address$"):
        load(file(tmp_path, css))


@pytest.mark.parametrize(
    "css", ["/* https://tokens.example/licence @import */ a { color: red }", "a { background: url(data:image/png,x) }"]
)
def test_what_asks_nobody_is_taken(tmp_path: Path, css: str) -> None:
    assert load(file(tmp_path, css)).css == css.encode()


def test_what_is_no_readable_small_text_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^page\.theme: .*nowhere\.css cannot be read: No such file or directory; .*$"):
        load(tmp_path / "nowhere.css")
    with pytest.raises(Refused, match=r"^page\.theme: .* cannot be read: Is a directory; .*$"):
        load(tmp_path)
    with pytest.raises(Refused, match=r"^page\.theme: .* is larger than 256 KiB; .*$"):
        load(file(tmp_path, b" " * (LIMIT_BYTES + 1)))
    assert load(file(tmp_path, b" " * LIMIT_BYTES)).css == b" " * LIMIT_BYTES
    with pytest.raises(Refused, match=r"^page\.theme: .* is not UTF-8 text$"):
        load(file(tmp_path, b"\xff"))


def test_what_would_hang_or_never_end_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.css")
    for path in (tmp_path / "pipe.css", Path("/dev/zero")):
        with pytest.raises(Refused, match=r"^page\.theme: .* is not a regular file$"):
            load(path)
