from pathlib import Path

import pytest

from .support import Converter


@pytest.fixture
def run(tmp_path: Path) -> Converter:
    """Converts bytes to a Result."""
    return Converter(tmp_path)
