"""Who is let in: tokens, pages of other origins, names that are not ours."""

from __future__ import annotations

import pytest

from forwarder import Answer, ConfigError, Refused
from forwarder.server.address import Address, bound, is_loopback
from forwarder.testing import receiving
from tests.raw_http import exchange, request
from tests.server.acme import Acme

NOTE = b'{"id":"n1"}'
PAGE = "https://page.example"
SECRET = "ghp_" + "Zc9bQ7rT2yVx4Lm8Np6Kd3Hs5Jw1Gf0Ae9Ru"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right", 201),
        ("bearer  right ", 201),
        ("Bearer wrong", 401),
        ("Bearer right2", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer r\xefght", 401),
        ("", 401),
    ],
)
async def test_a_token_is_asked_for(authorization: str, status: int) -> None:
    """Only the right one, as a bearer token; nothing of a refused request is taken."""
    async with receiving(Acme(), token="right") as posted:
        answer = await exchange(posted.port, request("POST", "/notes", NOTE, Authorization=authorization))

    assert (answer.status, answer.headers.get("www-authenticate")) == (status, None if status == 201 else "Bearer")
    assert len(posted.events) == (status == 201)


async def test_an_open_route_asks_for_no_token() -> None:
    """Health checks have none."""
    async with receiving(Acme(), token="right") as posted:
        statuses = [(await exchange(posted.port, request("GET", path))).status for path in ("/health", "/notes/x/text")]

    assert statuses == [200, 401]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 201),
        ("LOCALHOST:3001", 201),
        ("127.0.0.1:3001", 201),
        ("127.8.9.1", 201),
        ("[::1]:3001", 201),
        ("app.localhost:1", 201),
        ("page.example:3001", 403),
        ("127.0.0.1.page.example", 403),
        ("localhost.page.example", 403),
        ("192.168.1.7", 403),
        ("", 403),
    ],
)
async def test_only_our_own_name_is_answered_on_loopback(host: str, status: int) -> None:
    """A page whose name was pointed at 127.0.0.1 asks for its own name."""
    async with receiving(Acme()) as posted:
        answer = await exchange(posted.port, request("POST", "/notes", NOTE, Host=host))

    assert (answer.status, len(posted.events)) == (status, status == 201)


async def test_a_page_of_another_origin_cannot_post() -> None:
    """It could not read the answer, but what it posts would be stored."""
    async with receiving(Acme()) as posted:
        foreign = await exchange(posted.port, request("POST", "/notes", NOTE, Origin=PAGE))
        nowhere = await exchange(posted.port, request("POST", "/notes", NOTE, Origin="null"))
        preflight = await exchange(
            posted.port, request("OPTIONS", "/notes", Origin=PAGE, Access_Control_Request_Method="POST")
        )
        own = await exchange(
            posted.port, request("POST", "/notes", NOTE, Host="localhost:3001", Origin="http://localhost:3001")
        )

    assert [one.status for one in (foreign, nowhere, preflight, own)] == [403, 403, 403, 201]
    assert not [one for one in (foreign, preflight, own) if "access-control-allow-origin" in one.headers]


@pytest.mark.parametrize("allowed", [PAGE, "*"])
async def test_a_page_that_is_configured_may_post(allowed: str) -> None:
    """With the preflight that browsers ask for first."""
    async with receiving(Acme(), cors_origins=[allowed]) as posted:
        asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
        preflight = await exchange(posted.port, request("OPTIONS", "/notes", b"", Origin=PAGE, **asked))
        answer = await exchange(posted.port, request("POST", "/notes", NOTE, Origin=PAGE))
        refused = await exchange(posted.port, request("POST", "/notes", b"{", Origin=PAGE))

    assert (preflight.status, answer.status, refused.status) == (204, 201, 400)
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert {one.headers["access-control-allow-origin"] for one in (preflight, answer, refused)} == {PAGE}


async def test_options_tells_the_methods() -> None:
    """Without an origin it is no browser's question."""
    async with receiving(Acme()) as posted:
        answer = await exchange(posted.port, request("OPTIONS", "/health"))

    assert (answer.status, answer.headers["allow"], answer.body) == (204, "GET, HEAD", b"")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9876", Address("127.0.0.1", 9876)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, address: Address) -> None:
    """And written again as it was read."""
    assert (Address.parse(text), str(address)) == (address, text)


@pytest.mark.parametrize("text", ["9876", ":9876", "host", "host:", "h:65536", "h:-1", "h:x", "::1:80", "h:²"])
def test_what_is_no_address_is_said(text: str) -> None:
    """A number alone could be meant for every interface, which nobody should get by accident."""
    with pytest.raises(ValueError, match="wants"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("box", False)],
)
def test_loopback_is_only_what_cannot_be_reached_from_outside(host: str, expected: bool) -> None:
    """Names are not looked up: what they mean may change."""
    assert is_loopback(host) is expected


def test_a_port_in_use_names_the_table() -> None:
    """The user has to know which line to change."""
    (first,) = bound(Address("127.0.0.1", 0), place="first")
    with first, pytest.raises(ConfigError, match=r"config.toml, \[receivers.pai\]: 127.0.0.1:\d+ is in use by another"):
        bound(Address("127.0.0.1", first.getsockname()[1]), place="config.toml, [receivers.pai]")


def test_an_address_of_another_machine_is_said() -> None:
    """Which is what a typing mistake looks like."""
    with pytest.raises(ConfigError, match=r"here: this machine has no address 192\.0\.2\.1"):
        bound(Address("192.0.2.1", 0), place="here")


class Telling(Acme):
    """Says how it was refused."""

    def refuse(self, refusal: Refused) -> Answer:
        return Answer.text(type(refusal).__name__, refusal.status)


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "Refused"),
        ({"Authorization": "Bearer wrong"}, "WrongToken"),
        ({"Authorization": "Basic right"}, "WrongToken"),
    ],
)
async def test_a_receiver_can_tell_a_wrong_token_from_none(headers: dict[str, str], kind: str) -> None:
    """Some protocols answer them in two ways."""
    async with receiving(Telling(), token="right") as posted:
        answer = await exchange(posted.port, request("POST", "/notes", NOTE, **headers))

    assert (answer.status, answer.body.decode()) == (401, kind)


@pytest.mark.parametrize(
    "headers", [{"Host": SECRET}, {"Origin": f"https://{SECRET}"}, {"Content_Encoding": SECRET}], ids=str
)
async def test_a_refusal_does_not_repeat_a_secret(headers: dict[str, str]) -> None:
    """Its words may be those of the request, and clients log what they are answered."""
    async with receiving(Acme()) as posted:
        answer = await exchange(posted.port, request("POST", "/notes", NOTE, **headers))
        path = await exchange(posted.port, request("GET", f"/{SECRET}"))

    assert answer.status >= 400
    assert (b"[REDACTED]" in answer.body, b"[REDACTED]" in path.body) == (True, True)
    assert SECRET.lower().encode() not in (answer.body + path.body).lower()
