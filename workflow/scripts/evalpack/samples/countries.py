"""Countries as surveys and people write them: ISO 3166-1 codes with or without zeros, or names."""

from functools import lru_cache

import pycountry

from evalpack.samples.values import BadValue

# Societies that the World and European Values Surveys code beyond ISO 3166-1.
_SURVEY_CODES = {"909": "NIR", "915": "XKX", "983": "XKX"}
_SURVEY_NAMES = {"NIR": "Northern Ireland", "XKX": "Kosovo"}

# Everyday English where ISO's short name is not.
_EVERYDAY = {
    "COD": "Democratic Republic of the Congo",
    "FSM": "Micronesia",
    "PSE": "Palestine",
    "RUS": "Russia",
    "BRN": "Brunei",
    "TUR": "Turkey",
    "VAT": "Vatican City",
    "VGB": "British Virgin Islands",
    "VIR": "United States Virgin Islands",
}
_ALIASES = {"uk": "GBR", "great britain": "GBR"} | {
    name.casefold(): code for code, name in (_EVERYDAY | _SURVEY_NAMES).items()
}


@lru_cache(maxsize=4096)
def alpha_3(country: str) -> str | None:
    """The ISO 3166-1 alpha-3 code of a numeric code ("76", "076"), alpha code or English name."""
    text = country.strip()
    if text.isascii() and text.isdigit():
        text = text.lstrip("0").zfill(3)
        if text in _SURVEY_CODES:
            return _SURVEY_CODES[text]
        found = pycountry.countries.get(numeric=text)
        return found.alpha_3 if found else None
    if text.upper() in _SURVEY_NAMES:
        return text.upper()
    if text.casefold() in _ALIASES:
        return _ALIASES[text.casefold()]
    try:
        code: str = pycountry.countries.lookup(text).alpha_3
    except LookupError:
        return None
    return code


@lru_cache(maxsize=4096)
def country_name(country: str) -> str:
    """The English name that a prompt uses; text that is no known code is taken for the name itself.

    Raises:
        BadValue: for a number that is no country code.
    """
    code = alpha_3(country)
    if code is None:
        if country.strip().lstrip("-").isdigit():
            raise BadValue(
                f"country {country!r} is no ISO 3166-1 code: correct it or write the country's name"
            )
        return country.strip()
    if name := _EVERYDAY.get(code) or _SURVEY_NAMES.get(code):
        return name
    found = pycountry.countries.lookup(code)
    return str(getattr(found, "common_name", found.name))
