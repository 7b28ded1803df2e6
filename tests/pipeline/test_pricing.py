"""What tokens cost: equal to what genai-prices says, without its cost."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from forwarder.events import Session, TokenUsage
from forwarder.pipeline.pricing import Prices

pytest.importorskip("genai_prices", reason="the extra `cost` is not installed")

PRICES = Prices()
THEN = datetime(2026, 3, 1, tzinfo=UTC)


def usage(
    model: str | None,
    provider: str | None = None,
    *,
    tokens: tuple[int, int, int] = (1000, 400, 100),
    written: int | None = None,
    written_1h: int | None = None,
    reasoning: int | None = None,
    time: datetime = THEN,
) -> TokenUsage:
    """`tokens` are input, cached and output."""
    return TokenUsage(
        key=("k",),
        time=time,
        session=Session(agent="codex", id="s"),
        model=model,
        provider=provider,
        input_tokens=tokens[0],
        cached_input_tokens=tokens[1],
        cache_write_tokens=written,
        cache_write_1h_tokens=written_1h,
        output_tokens=tokens[2],
        reasoning_tokens=reasoning,
        total_tokens=tokens[0] + tokens[2],
    )


def test_input_includes_what_was_cached() -> None:
    """600 fresh tokens at 1.25, 400 cached at 0.125, 100 out at 10 USD per million."""
    assert PRICES.cost(usage("gpt-5", "openai")) == Decimal("0.0018")


def test_writing_to_the_cache_has_two_prices() -> None:
    """100 fresh at 15, 200 written for 5 minutes at 18.75, 300 for an hour at 30, 400 read at 1.5, 100 out at 75."""
    cost = PRICES.cost(usage("claude-opus-4-1", "anthropic", written=500, written_1h=300))

    assert cost == Decimal("0.0015") + Decimal("0.00375") + Decimal("0.009") + Decimal("0.0006") + Decimal("0.0075")


def test_a_long_prompt_has_the_price_of_long_prompts() -> None:
    """Beyond 200,000 tokens of input all of them cost more."""
    short = PRICES.cost(usage("gemini-2.5-pro", "google", tokens=(200_000, 0, 0)))
    long = PRICES.cost(usage("gemini-2.5-pro", "google", tokens=(200_001, 0, 0)))

    assert (short, long) == (Decimal("0.25"), Decimal("0.5000025"))


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5", None),
        ("GPT-5", "OpenAI"),
        ("openai/gpt-5", None),
        ("openai/gpt-5", "openai"),
        ("gpt-5-latest", "openai"),
        ("gpt-5-2025-08-07", "openai"),
        ("gpt-5-20250807", "openai"),
        ("openai/gpt-5-latest", "our-gateway"),
        ("gpt-5[1m]", "openai"),
    ],
)
def test_spellings_of_a_model_cost_the_same(model: str, provider: str | None) -> None:
    """Gateways prefix, agents add dates and variants."""
    assert PRICES.cost(usage(model, provider)) == PRICES.cost(usage("gpt-5", "openai"))


def test_a_smaller_model_is_not_priced_as_its_big_sister() -> None:
    """AIr takes the first key that is a prefix: sixteen times too dear."""
    assert PRICES.cost(usage("gpt-4o-mini-2024-07-18", "openai")) == Decimal("0.00018")


@pytest.mark.parametrize(
    ("model", "provider"),
    [("no-such-model", "openai"), ("__proto__", None), ("", None), (None, None), ("gpt-oss:20b", "ollama")],
)
def test_an_unknown_price_is_none(model: str | None, provider: str | None) -> None:
    """Never 0: a sum with a zero in it looks complete."""
    assert PRICES.cost(usage(model, provider)) is None


def test_parts_that_exceed_their_whole_have_no_price() -> None:
    """More cached than read at all: the record contradicts itself."""
    assert PRICES.cost(usage("gpt-5", "openai", tokens=(100, 400, 0))) is None


def test_money_has_at_most_nine_places() -> None:
    """As EVENTS.md demands."""
    cost = PRICES.cost(usage("gpt-5", "openai", tokens=(1, 1, 0)))

    assert cost == Decimal("0.000000125")


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [(1000, 400, 100), (300_000, 1000, 5000)])
@pytest.mark.parametrize("time", [datetime(2024, 6, 1, tzinfo=UTC), datetime(2026, 11, 20, 12, tzinfo=UTC)])
def test_the_library_says_the_same_for_all_its_models(tokens: tuple[int, int, int], time: datetime) -> None:
    """Our shortcut differs from it by rounding alone; models that lack a price for input or output have none here."""
    from genai_prices import Usage
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    spent = Usage(
        input_tokens=tokens[0], cache_read_tokens=tokens[1], output_tokens=tokens[2], output_reasoning_tokens=30
    )
    wrong: list[str] = []
    for provider in snapshot.providers:
        for entry in provider.models:
            try:
                owner, model = snapshot.find_provider_model(entry.id, None, provider.id, None)
            except LookupError:  # an id that does not match its own entry
                continue
            got = PRICES.cost(usage(entry.id, provider.id, tokens=tokens, reasoning=30, time=time))
            if vars(model.get_prices(time)).keys() >= {"input_mtok", "output_mtok"}:
                want = model.calc_price(spent, owner, genai_request_timestamp=time).total_price
                if got is None or abs(got - want) > Decimal("1e-9"):
                    wrong.append(f"{provider.id} {entry.id}: {got} instead of {want}")
    assert not wrong


def test_nothing_is_imported_before_the_first_price() -> None:
    """The import takes a third of a second, which `--help` and agents that state their costs must not pay."""
    code = """
import sys
from forwarder.pipeline.pricing import Prices
Prices.load()
sys.exit("genai_prices" in sys.modules)
"""

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
