"""docs/cleaning.md names every code and every token, and none that does not exist."""

import re
from pathlib import Path

import pytest

from worker_service.tables import CLEANING_VERSION, ErrorCode, WarningCode
from worker_service.tables.messages import message_en, message_zh
from worker_service.tables.nulls import ALWAYS, ERROR_CODES, IN_TYPED_COLUMNS

PAGE = (Path(__file__).parents[3] / "docs" / "cleaning.md").read_text(encoding="utf-8")


def test_every_code_has_its_row_and_no_row_is_stale() -> None:
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE))
    assert rows == {*map(str, WarningCode), *map(str, ErrorCode)}


@pytest.mark.parametrize(("mark", "tokens"), [("always", ALWAYS), ("typed", IN_TYPED_COLUMNS), ("errors", ERROR_CODES)])
def test_every_token_is_listed(mark: str, tokens: tuple[str, ...]) -> None:
    block = PAGE.split(f"<!-- tokens: {mark} -->")[1].split("\n\n")[0]
    assert tuple(re.findall(r"`([^`]+)`", block)) == tokens


def test_version_is_named() -> None:
    assert f"cleaning version **{CLEANING_VERSION}**" in PAGE


@pytest.mark.parametrize("code", list(WarningCode))
def test_messages_exist_in_both_languages_and_name_the_same_details(code: WarningCode) -> None:
    english, chinese = message_en(code, _Template()), message_zh(code, _Template())
    assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", chinese))
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert not re.search(r"[\u4e00-\u9fff]", english)


class _Template(dict[str, object]):
    """Every detail is its own placeholder."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"
