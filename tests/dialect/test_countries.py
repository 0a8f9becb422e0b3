"""Names of countries and their letters."""

import pytest

from smtpbridge.dialect.countries import letters


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Germany", "DE"),
        ("united states", "US"),
        ("United States of America", "US"),
        ("Türkiye", "TR"),
        ("Turkey", "TR"),
        ("Côte d\u2019Ivoire", "CI"),
        ("Korea, Republic of", "KR"),
        (" Sweden ", "SE"),
        ("se", "SE"),
        ("Los Angeles", ""),
        ("ZZ", ""),
        ("", ""),
    ],
)
def test_a_country_has_its_letters(name: str, wanted: str) -> None:
    assert letters(name) == wanted
