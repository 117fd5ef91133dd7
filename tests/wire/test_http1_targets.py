"""Request targets (HTTP-6): a plain path and a plain query, or a refusal."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from tests.wire.support import HTTPTestCase, PropertyTestCase, exchange, get

try:
    from hypothesis import strategies as st
except ImportError:
    pass


class Paths(HTTPTestCase):
    def test_plain_ones_are_taken_as_they_are(self) -> None:
        for path in (
            "/",
            "/ws",
            "/auth/refresh",
            "/a/",
            "/A.b-c_d~e",
            "/...",
            "/.well-known/x",
            "/a..b",
            "/@:!$&'()*+,;=",
        ):
            (request,) = self.assertRequests(get(path))
            self.assertEqual((request.path, request.query), (path, {}))

    def test_empty_dotted_and_escaped_parts_are_refused(self) -> None:
        for path in (
            *("//", "//evil/ws", "/a//b", "/a//", "///", "/..", "/.", "/../ws", "/a/../ws", "/a/..", "/./ws", "/ws/."),
            *("/%2e%2e/ws", "/%2f", "/%2F%2fevil", "/%00", "/ws%00", "/%77s", "/%", "/%zz", "/ws%0d%0aX:%20y"),
            *("/a\\b", "/a|b", "/<b>", '/"', "/{a}", "/[a]", "/a^b", "/`a`"),
        ):
            for query in ("", "?", "?a=b"):
                self.assertRefused(get(path + query), 400, "target_invalid")

    def test_a_part_that_splits_it_elsewhere_is_refused_negative_control(self) -> None:
        self.assertEqual(urlsplit("//evil/ws").path, "/ws")

    def test_only_a_path_is_a_target(self) -> None:
        """RFC 9112 3.2.2 to 3.2.4: no proxy, no tunnel, no question about the server as a whole."""
        for target in (
            "http://x/",
            "https://x/ws",
            "HTTP://x",
            "//x",
            "x/ws",
            "ws",
            "?a=b",
            "#",
            "/#a",
            "/ws?a=b#c",
            "data:,",
        ):
            self.assertRefused(get(target), 400, "target_invalid")
        for method, target in (("OPTIONS", "*"), ("CONNECT", "x:443"), ("CONNECT", "[::1]:443"), ("GET", "*")):
            self.assertRefused(get(target, method=method), 400, "target_invalid")

    def test_what_cannot_be_in_any_target_is_malformed(self) -> None:
        for target in ("/\x01", "/\x7f", "/caf\xe9", "/a b", "/a\tb", ""):
            self.assertRefused(get(target), 400, "malformed")


class Queries(HTTPTestCase):
    def test_good_ones_are_decoded(self) -> None:
        for query, meant in (
            ("", {}),
            ("a=b", {"a": "b"}),
            ("a=", {"a": ""}),
            ("a=b&A=c", {"a": "b", "A": "c"}),
            ("a=b=c", {"a": "b=c"}),
            ("a=b?c/d", {"a": "b?c/d"}),
            ("a=1+2%2B3", {"a": "1 2+3"}),
            ("%61=%C3%A9", {"a": "é"}),
            ("a=%F0%9F%98%80", {"a": "😀"}),
            ("a=b;c=d", {"a": "b;c=d"}),
            ("a=%26b%3Dc", {"a": "&b=c"}),
        ):
            (request,) = self.assertRequests(get(f"/auth?{query}"))
            self.assertEqual((request.path, request.query), ("/auth", meant))

    def test_a_parameter_comes_once(self) -> None:
        for query in ("a=1&a=2", "a=1&a=1", "a=1&b=2&a=", "a=1&%61=2"):
            self.assertRefused(get(f"/?{query}"), 400, "query_invalid")

    def test_what_is_no_list_of_pairs_is_refused(self) -> None:
        for query in ("a", "a&b=c", "a=b&", "&a=b", "a=b&&c=d", "&", "a;b"):
            self.assertRefused(get(f"/?{query}"), 400, "query_invalid")

    def test_what_is_no_utf_8_is_refused(self) -> None:
        for value in ("%ff", "%c3", "%c3%28", "%ed%a0%80", "%c0%af", "%f8%88%80%80%80", "%F4%90%80%80"):
            self.assertRefused(get(f"/?a={value}"), 400, "query_invalid")
            self.assertRefused(get(f"/?{value}=a"), 400, "query_invalid")

    def test_a_percent_sign_that_begins_no_escape_is_refused(self) -> None:
        for value in ("%", "%4", "%zz", "100%"):
            self.assertRefused(get(f"/?a={value}"), 400, "query_invalid")

    def test_an_escaped_control_character_is_refused(self) -> None:
        for value in ("%00", "%0a", "x%1fy", "%7F", "%7f"):
            self.assertRefused(get(f"/?a={value}"), 400, "query_invalid")

    def test_sixteen_are_read_and_no_more(self) -> None:
        pairs = [f"p{number}=x" for number in range(17)]
        (request,) = self.assertRequests(get("/?" + "&".join(pairs[:16])))
        self.assertEqual(len(request.query), 16)
        self.assertRefused(get("/?" + "&".join(pairs)), 400, "query_invalid")


class Generated(PropertyTestCase):
    def test_what_a_client_escapes_comes_out_as_it_was(self) -> None:
        words = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f"), max_size=20)

        def holds(query: dict[str, str]) -> None:
            found = exchange([get("/?" + "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items()))])
            self.assertEqual([request.query for request in found.requests], [query])

        self.check(holds, query=st.dictionaries(words, words, max_size=16))

    def test_a_path_is_taken_as_it_is_or_refused(self) -> None:
        parts = st.sampled_from(
            ["/", "/", ".", "..", "a", "ws", "%2f", "%", "\\", "~", ";", ":", "@", "é", "\x00", "#", "*"]
        )

        def holds(parts: list[str]) -> None:
            path = "/" + "".join(parts)
            found = exchange([get(path)])
            if found.error is None:
                self.assertEqual([request.path for request in found.requests], [path])
                self.assertNotRegex(path, r"//|[^!$&'()*+,./0-9:;=@A-Z_a-z~-]|/\.\.?(/|$)")

        self.check(holds, parts=st.lists(parts, max_size=8))
