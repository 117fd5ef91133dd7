"""Whatever bytes come, in whatever pieces: requests or an HTTPError, and the same ones each time."""

from __future__ import annotations

from gochatsecure.limits import Limits
from tests.wire.support import LIMITS, PropertyTestCase, cut, exchange, get, pieces, post

try:
    from hypothesis import strategies as st
except ImportError:
    pass

SMALL = Limits(request_line=32, request_head=160, request_headers=4, request_body=12)
METHODS = ("GET", "POST", "HEAD", "PUT", "CONNECT", "get", "G@T", "")
TARGETS = ("/", "/a", "/a?b=c", "/?b=%ff", "//a", "/..", "*", "http://x/", "/" + "long" * 4, "")
VERSIONS = (" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", " HTTP/1.1 ", "")
HEADERS = (
    *("Host: x", "Host: x", "Host: a b", "Content-Length: 3", "Content-Length: 12", "Content-Length: 13"),
    *("Content-Length: -1", "Transfer-Encoding: chunked", "Connection: close", "Connection: keep-alive, Upgrade"),
    *(
        "Upgrade: websocket",
        "Expect: 100-continue",
        "A: \t b ",
        "A:",
        "A : b",
        " folded",
        "\xe9: x",
        "B: \x00",
        "long: " + "y" * 30,
    ),
)
ENDS = ("\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "")


def heads() -> st.SearchStrategy[bytes]:
    """Mostly good ones, else no fault but the first would ever be met."""
    line = st.builds("{} {}{}".format, st.sampled_from(METHODS), st.sampled_from(TARGETS), st.sampled_from(VERSIONS))
    good = st.builds(lambda target, extra: get(target, *extra), st.sampled_from(TARGETS[:3]), st.just([]))
    lines = st.lists(st.builds("".join, st.tuples(st.sampled_from(HEADERS), st.sampled_from(ENDS))), max_size=6)
    odd = st.builds(
        lambda line, end, lines, last: f"{line}{end}{''.join(lines)}{last}".encode("latin-1"),
        line,
        st.sampled_from(ENDS),
        lines,
        st.sampled_from(ENDS),
    )
    return st.one_of(good, st.builds(post, st.binary(max_size=12)), odd)


def streams() -> st.SearchStrategy[bytes]:
    parts = st.one_of(heads(), heads(), st.binary(max_size=20), st.sampled_from([b"\r\n", b"\r", b"abc", b"0\r\n\r\n"]))
    return st.builds(b"".join, st.lists(parts, max_size=5))


class Generated(PropertyTestCase):
    def agree(self, data: bytes, places: list[int], limits: Limits) -> None:
        whole = exchange(pieces(data, limits.request_head), limits)
        parts = exchange([small for part in cut(data, places) for small in pieces(part, limits.request_head)], limits)
        single = exchange(pieces(data, 1), limits)
        for found in (parts, single):
            self.assertEqual(found.requests, whole.requests, data)
            self.assertEqual(found.sent, whole.sent, data)
            self.assertEqual(found.error is None, whole.error is None, data)
            self.assertEqual(found.server.keeps_alive, whole.server.keeps_alive, data)

    def test_however_they_are_cut_they_mean_the_same(self) -> None:
        def holds(data: bytes, places: list[int]) -> None:
            self.agree(data, places, LIMITS)

        places = st.lists(st.integers(0, 1000), max_size=8)
        self.check(holds, examples=1000, data=streams(), places=places)
        self.check(holds, data=st.binary(max_size=200), places=places)

    def test_however_they_are_cut_they_meet_the_same_limits(self) -> None:
        def holds(data: bytes, places: list[int]) -> None:
            self.agree(data, places, SMALL)

        longest = get("/" + "a" * (SMALL.request_line - len("GET / HTTP/1.1")))
        self.agree(longest, [], SMALL)
        self.check(holds, examples=1000, data=streams(), places=st.lists(st.integers(0, 1000), max_size=8))

    def test_what_is_in_a_request_has_been_checked(self) -> None:
        served = 0

        def holds(data: bytes) -> None:
            nonlocal served
            for request in exchange(pieces(data, LIMITS.request_head)).requests:
                served += 1
                self.assertIn(request.version, ("1.0", "1.1"))
                self.assertRegex(request.path, r"\A(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?\Z")
                self.assertLessEqual(len(request.values("host")), 1)
                self.assertLessEqual(len(request.body), LIMITS.request_body)
                self.assertEqual(request.values("transfer-encoding"), [])
                if request.body:
                    self.assertIn(request.method, ("POST", "PUT", "PATCH"))
                for name, value in request.headers:
                    self.assertRegex(name, r"\A[!-~]+\Z")
                    self.assertNotRegex(value, r"[\x00\r\n\x80-\U0010ffff]")

        self.check(holds, examples=1000, data=streams())
        self.assertGreater(served, 200)
