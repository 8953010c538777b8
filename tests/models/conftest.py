"""Where tests find the bases. What the cache lacks is a failure for the small one, and a line for the others."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts/models"))

from graphs import Base, models  # noqa: E402
from prepare import cache  # noqa: E402

SMALL = "smollm2-135m"


@pytest.fixture(scope="session")
def small_folder() -> pathlib.Path:
    result = models(SMALL)
    assert result.returncode == 0, f"the small base is not to be had: {result.stderr}"
    return cache() / SMALL


@pytest.fixture(scope="session")
def small(small_folder) -> Base:
    return Base(small_folder)
