"""What tokens cost, where the agent did not say: the dated tables of `genai-prices` (extra ``cost``).

The tables come with the package; nothing is fetched, its auto-update is never started. Its own `calc_price` takes about
90 µs a call, so the prices of a model are looked up once and only multiplied afterwards; tests hold the result to
`calc_price`. The import takes a third of a second (pydantic), so it waits until the first event that needs a price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from forwarder.events import TokenUsage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

PLACES = 9  # EVENTS.md: money has at most nine
_SCALE = 9  # of a rate as an integer: no price per million tokens in the tables has more places

LOCAL_PROVIDERS = frozenset({"ollama", "lmstudio", "lm-studio", "llamacpp", "llama.cpp", "vllm", "local", "oss"})
"""Servers of one's own: they bill nothing that a table knows, whatever the model is called."""

_DATE = re.compile(r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d)$")
_SUFFIX = re.compile(r"(?:\[[^\]]*\]|[-:@](?:latest|default))$")
_BEDROCK = re.compile(
    r"^(?:[a-z]{2,6}\.)?(?:anthropic|openai|meta|amazon|mistral|cohere|deepseek)\.(.+?)(?:-v\d+(?::\d+)?)?$"
)


class Rates(NamedTuple):
    """Integers, since they multiply faster: 10**-15 USD per token, `request` per request."""

    input: int
    cached: int
    write: int
    write_1h: int
    output: int
    reasoning: int
    request: int


class Prices:
    """Prices by model, provider and time."""

    def __init__(self) -> None:
        """Cheap; the tables are imported at the first `cost`."""
        self._model = lru_cache(maxsize=1024)(_find)
        self._rates: dict[int, tuple[ModelPrice, list[tuple[int, Rates | None]]]] = {}

    @classmethod
    def load(cls) -> Prices | None:
        """The prices, or None when the extra ``cost`` is not installed."""
        return cls() if find_spec("genai_prices") else None

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """USD with at most nine places, at the prices of the event's time; None when any price is unknown."""
        if usage.model is None or (model := self._model(usage.model, usage.provider)) is None:
            return None
        rates = self._rates_at(model, usage.time, usage.input_tokens)
        return None if rates is None else _bill(usage, rates)

    def _rates_at(self, model: ModelInfo, time: datetime, input_tokens: int) -> Rates | None:
        """A long prompt may have prices of its own: the last tier whose start it exceeds holds for all its tokens."""
        price = model.get_prices(time)
        known = self._rates.get(id(price))
        if known is None:
            known = self._rates[id(price)] = price, _tiers(price)  # keeps the price alive, and so its id unique
        tiers = known[1]
        rates = tiers[0][1]
        for start, tier in tiers[1:]:
            if input_tokens > start:
                rates = tier
        return rates


def _bill(usage: TokenUsage, rates: Rates) -> Decimal | None:
    cached, reasoning = usage.cached_input_tokens, usage.reasoning_tokens or 0
    written, written_1h = usage.cache_write_tokens or 0, usage.cache_write_1h_tokens or 0
    uncached, written_5m, answer = (
        usage.input_tokens - cached - written,
        written - written_1h,
        usage.output_tokens - reasoning,
    )
    if uncached < 0 or written_5m < 0 or answer < 0:
        return None  # parts that exceed their whole: any price would be a guess
    total = uncached * rates.input + cached * rates.cached + answer * rates.output + reasoning * rates.reasoning
    total += written_5m * rates.write + written_1h * rates.write_1h + rates.request
    to_places = 10 ** (_SCALE + 6 - PLACES)
    return Decimal((total + to_places // 2) // to_places).scaleb(-PLACES)


def _tiers(price: ModelPrice) -> list[tuple[int, Rates | None]]:
    """The rates from each number of input tokens on, lowest first."""
    values: list[Decimal | TieredPrices | None] = list(vars(price).values())
    starts = {
        tier.start for value in values if value is not None and not isinstance(value, Decimal) for tier in value.tiers
    }
    return [(start, _flat(price, start)) for start in (-1, *sorted(starts))]


def _flat(price: ModelPrice, above: int) -> Rates | None:
    """The rates for a prompt just longer than `above` tokens. What has no price of its own costs as its whole does."""

    def rate(*names: str) -> Decimal | None:
        for name in names:
            value: Decimal | TieredPrices | None = vars(price).get(name)
            if isinstance(value, Decimal):
                return value
            if value is not None:
                return next((tier.price for tier in reversed(value.tiers) if above >= tier.start), value.base)
        return None

    entry, output = rate("input_mtok"), rate("output_mtok")
    if entry is None or output is None:
        return None
    request = rate("requests_kcount")
    return Rates(
        input=_scaled(entry),
        cached=_scaled(rate("cache_read_mtok", "input_mtok")),
        write=_scaled(rate("cache_write_5m_mtok", "cache_write_mtok", "input_mtok")),
        write_1h=_scaled(rate("cache_write_1h_mtok", "cache_write_mtok", "input_mtok")),
        output=_scaled(output),
        reasoning=_scaled(rate("output_reasoning_mtok", "output_mtok")),
        request=_scaled(request) * 1000,  # per thousand requests, where tokens are per million
    )


def _scaled(price: Decimal | None) -> int:
    return 0 if price is None else int(price.scaleb(_SCALE))


def _find(model: str, provider: str | None) -> ModelInfo | None:
    """The first spelling of the model that the tables know, at its provider if they know that one."""
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    if provider is not None and provider.lower() in LOCAL_PROVIDERS:
        return None
    snapshot = get_snapshot()
    known = provider if provider and find_provider_by_id(snapshot.providers, provider) else None
    for spelling in _spellings(model):
        prefix, slash, bare = spelling.partition("/")
        owner = prefix if slash and not known and find_provider_by_id(snapshot.providers, prefix) else None
        for reference, at in ((spelling, known), (bare, owner or known)) if slash else ((spelling, known),):
            try:
                return snapshot.find_provider_model(reference, None, at, None)[1]
            except LookupError:
                continue
    return None


def _spellings(model: str) -> Iterator[str]:
    """The name as it is, then without what gateways and agents add to it, then without its date."""
    name = model.strip().lower()
    yield name
    if (plain := _SUFFIX.sub("", name)) != name:
        yield plain
    if bedrock := _BEDROCK.match(plain):
        plain = bedrock[1]
        yield plain
    if (undated := _DATE.sub("", plain)) != plain:
        yield undated
