"""Phones become ten digits or are refused."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._values.phones import _numbering_plan, _unreachable, mask_phone, normalize_phone
from smsclick.errors import InvalidPhone


@pytest.mark.parametrize(
    "written",
    [
        "5551402211",
        5551402211,
        "55 5140 2211",
        "(55) 5140-2211",
        "55.5140.2211",
        "55\N{NO-BREAK SPACE}5140\N{NO-BREAK SPACE}2211",
        "55\N{EN DASH}5140\N{NON-BREAKING HYPHEN}2211",
        "\N{LEFT-TO-RIGHT EMBEDDING}+52 55 5140 2211\N{POP DIRECTIONAL FORMATTING}",
        "+52 55 5140 2211",
        "+525551402211",
        "525551402211",
        525551402211,
        "0052 55 5140 2211",
        "00 52 1 55 5140 2211",
        "+52 1 55 5140 2211",
        "5215551402211",
        "044 55 5140 2211",
        "045 55 5140 2211",
        "01 55 5140 2211",
        "+52 (044) 55 5140-2211",
        "\t5551402211\n",
        "55 - 5140 - 2211",
        "55-51-40-22-11",
        "555 140 2211",
        "(555) 140-22-11",
        "(01 55) 5140 2211",
        "+52(55)51402211",
        "52-1-55-5140-2211",
        "+52.55.5140.2211",
        "\uff15\uff15\uff15\uff11\uff14\uff10\uff12\uff12\uff11\uff11",
        "55\u200b5140\u200b2211",
    ],
)
def test_every_way_to_write_a_mexican_number_becomes_ten_digits(written: str | int) -> None:
    assert normalize_phone(written) == "5551402211"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "   ",
        "555140221",
        "55514022110",
        "+1 212 555 1234",
        "12125551234",
        "+34 600 123 456",
        "0034600123456",
        "0000000000",
        "1234567890",
        "55 5140 2211 ext 3",
        "55-CALL-ME-11",
        "5551402211,5551402212",
        "5.55140E+09",
        "tel:5551402211",
        "\x005551402211",
        "5" * 5000,
        -5551402211,
        0,
    ],
)
def test_what_is_not_a_mexican_number_is_refused(written: str | int) -> None:
    with pytest.raises(InvalidPhone):
        normalize_phone(written)


def test_an_integer_too_long_to_print_is_refused() -> None:
    with pytest.raises(InvalidPhone):
        normalize_phone(10**5000)


@pytest.mark.parametrize("value", [None, True, 5551402211.0, b"5551402211", ["5551402211"]])
def test_another_type_is_refused(value: object) -> None:
    with pytest.raises(InvalidPhone, match="must be text or a whole number"):
        normalize_phone(value)  # type: ignore[arg-type]


def test_the_refusal_shows_only_the_last_four_digits() -> None:
    with pytest.raises(InvalidPhone) as caught:
        normalize_phone("+1 212 555 1234")
    assert str(caught.value) == (
        "the phone …1234 is not a Mexican number: give ten digits, for example 5551402211 or +52 55 5140 2211"
    )


@pytest.mark.parametrize(
    ("value", "masked"), [("55 5140 2211", "…2211"), (5551402211, "…2211"), ("1234567", "…"), (None, "…")]
)
def test_a_masked_phone_keeps_four_digits_of_many(value: object, masked: str) -> None:
    assert mask_phone(value) == masked


@given(st.text() | st.integers() | st.from_regex(r"\A\+?[0-9 ()-]{8,20}\Z"))
def test_anything_gives_ten_digits_or_is_refused(value: str | int) -> None:
    try:
        phone = normalize_phone(value)
    except InvalidPhone as error:
        assert "\n" not in str(error)  # noqa: PT017  (both outcomes are right)
    else:
        assert len(phone) == 10
        assert phone.isascii()
        assert phone.isdigit()
        assert normalize_phone(phone) == phone


def test_the_plan_in_one_pattern_says_what_the_library_says() -> None:
    """Each area code of four digits, which is more than any of the plan's patterns tells apart."""
    reached = {
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
    }
    for area in range(10_000):
        national = f"{area:04d}140221"
        number = phonenumbers.PhoneNumber(country_code=52, national_number=int(national))
        kind = phonenumbers.number_type(number)
        assert bool(_numbering_plan()(national)) is (kind in reached), national
        assert bool(_unreachable()(national)) is (phonenumbers.is_valid_number(number) and kind not in reached), (
            national
        )


@pytest.mark.parametrize("written", ["8001234567", "01 800 123 4567", "+52 900 123 4567", 8881234567, "5001234567"])
def test_a_number_that_no_sms_reaches_is_refused(written: str | int) -> None:
    with pytest.raises(InvalidPhone, match="toll-free or premium"):
        normalize_phone(written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("555140221.0", "an amount"),
        ("5551402211.0", "an amount"),
        ("5,551,402,211", "an amount"),
        ("5512-3456/78", "is not a number"),
        ("5533-1234 (45)", "several ways"),
        ("5512 3456 78", "several ways"),
        ("55123456-78", "several ways"),
        ("55 5140 2211 / 12", "is not a number"),
        ("555140221²", "is not a number"),
        ("+5255 5140 221", "not a Mexican number"),
        ("5 2 5551402211", "several ways"),
        ("55-(51)402211", "several ways"),
        ("((55) 5140 2211", "is not a number"),
        ("55 +5140 2211", "is not a number"),
        ("55--5140-2211", "is not a number"),
        ("5551402211-", "is not a number"),
    ],
)
def test_what_carries_a_meaning_of_its_own_is_refused_and_said(written: str, why: str) -> None:
    with pytest.raises(InvalidPhone, match=why):
        normalize_phone(written)
