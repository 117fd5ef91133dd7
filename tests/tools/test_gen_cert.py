"""tools/gen_cert.sh, run as an operator runs it, and judged by a TLS client."""

from __future__ import annotations

import datetime
import os
import pathlib
import re
import shlex
import shutil
import signal
import ssl
import stat
import subprocess
import tempfile
import time
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "gen_cert.sh"
BASH = shutil.which("bash")
OPENSSL = shutil.which("openssl")
THREE = {"ca.crt", "server.crt", "server.key"}


def run(*options: str, cwd: pathlib.Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    assert BASH is not None
    return subprocess.run(
        [BASH, str(SCRIPT), *options],
        check=False, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def text_of(certificate: pathlib.Path) -> str:
    command = [str(OPENSSL), "x509", "-in", str(certificate), "-noout", "-text"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def connect(ca: pathlib.Path, crt: pathlib.Path, key: pathlib.Path, host: str) -> dict[str, object]:
    """Shake hands in memory and return the server's certificate as the client saw it.

    Raises ssl.SSLCertVerificationError where the client refuses it.
    """
    trusting = ssl.create_default_context(cafile=str(ca))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(crt, key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(down, up, server_hostname=host)
    server = serving.wrap_bio(up, down, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not waiting, "the handshake did not finish"
    return dict(client.getpeercert() or {})


@unittest.skipUnless(BASH, "gen_cert.sh needs the bash command, which is not here")
@unittest.skipUnless(OPENSSL, "gen_cert.sh needs the openssl command, which is not here")
class GenCert(unittest.TestCase):
    first: subprocess.CompletedProcess[str]  # with --quiet alone
    made: pathlib.Path  # what it made; read it only

    @classmethod
    def setUpClass(cls) -> None:
        cls.made = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.made)
        cls.first = run("--quiet", cwd=cls.made)

    def setUp(self) -> None:
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)

    def make(self, *options: str) -> pathlib.Path:
        """Run it in a new directory, where it must succeed."""
        out = pathlib.Path(tempfile.mkdtemp(dir=self.dir))
        done = run("--quiet", *options, cwd=out)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        return out

    def refused(self, done: subprocess.CompletedProcess[str], status: int = 1) -> str:
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertRegex(done.stderr, r"\Agen_cert\.sh: [^\n]+; [^\n]+\n\Z")
        return done.stderr

    def openssl_that(self, does: str) -> str:
        """A PATH on which openssl does this, in sh, when it signs the leaf."""
        shims = self.dir / "shims"
        shims.mkdir()
        shim = shims / "openssl"
        shim.write_text(f'#!/bin/sh\ncase "$*" in *-CAkey*) {does} ;; esac\nexec {OPENSSL} "$@"\n')
        shim.chmod(0o755)
        return f"{shims}:{os.environ['PATH']}"

    def trusted(self, out: pathlib.Path, host: str) -> dict[str, object]:
        return connect(out / "ca.crt", out / "server.crt", out / "server.key", host)

    def test_it_makes_three_files_and_says_nothing_when_quiet(self) -> None:
        self.assertEqual((self.first.returncode, self.first.stdout, self.first.stderr), (0, "", ""))
        self.assertEqual(set(os.listdir(self.made)), THREE)

    def test_the_key_is_private(self) -> None:
        out = self.dir / "deep" / "er"
        done = run("--quiet", "--out", str(out), cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(stat.S_IMODE((out / "server.key").stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o700)

    def test_a_client_that_trusts_the_ca_connects(self) -> None:
        for host in ("localhost", "127.0.0.1", "::1"):
            with self.subTest(host):
                self.trusted(self.made, host)

    def test_a_client_that_does_not_trust_the_ca_refuses(self) -> None:
        other = self.make()
        with self.assertRaises(ssl.SSLCertVerificationError):
            connect(other / "ca.crt", self.made / "server.crt", self.made / "server.key", "localhost")

    def test_a_client_refuses_a_host_that_was_not_asked_for(self) -> None:
        for host in ("chat.example.org", "127.0.0.2"):
            with self.subTest(host), self.assertRaises(ssl.SSLCertVerificationError):
                self.trusted(self.made, host)

    def test_extra_hosts_are_in_the_certificate(self) -> None:
        hosts = ("chat.example.org,*.rooms.example.org", "192.0.2.7", "2001:DB8::7", "LAPTOP")
        out = self.make(*(word for host in hosts for word in ("--host", host)))
        for host in ("localhost", "127.0.0.1", "::1", "chat.example.org", "a.rooms.example.org",
                     "192.0.2.7", "2001:db8::7", "laptop"):  # fmt: skip
            with self.subTest(host):
                self.trusted(out, host)
        for host in ("example.org", "a.chat.example.org", "192.0.2.8", "2001:db8::8"):
            with self.subTest(host), self.assertRaises(ssl.SSLCertVerificationError):
                self.trusted(out, host)

    def test_a_host_named_twice_is_there_once(self) -> None:
        out = self.make("--host", "localhost,a.test", "--host", "A.test,127.0.0.1")
        names = self.trusted(out, "a.test")["subjectAltName"]
        self.assertEqual(
            names,
            (("DNS", "localhost"), ("IP Address", "127.0.0.1"), ("IP Address", "0:0:0:0:0:0:0:1"), ("DNS", "a.test")),
        )

    def test_every_form_of_ipv6_address_is_taken(self) -> None:
        addresses = ("1::", "::1:2:3:4:5:6:7", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8", "fe80::a:b")
        out = self.make("--host", ",".join(addresses))
        for address in addresses:
            with self.subTest(address):
                self.trusted(out, address)

    def test_the_ca_cannot_vouch_for_other_names(self) -> None:
        out = self.make("--host", "*.example.org", "--host", "192.0.2.7")
        permitted = r"X509v3 Name Constraints: critical\s+Permitted:((?:\s+\w+:\S+)+)\n"
        constraints = re.search(permitted, text_of(out / "ca.crt"))
        assert constraints is not None
        self.assertEqual(
            constraints[1].split(),
            ["DNS:localhost", "IP:127.0.0.0/255.0.0.0", "IP:0:0:0:0:0:0:0:1/" + ":".join(["FFFF"] * 8),
             "DNS:example.org", "IP:192.0.2.7/255.255.255.255", "email:invalid", "URI:invalid"],
        )  # fmt: skip

    def test_a_thief_of_the_ca_key_gains_no_other_names(self) -> None:
        """Its key is gone after a real run, so steal it during one, and sign with it."""
        stolen = self.dir / "stolen.key"
        path = self.openssl_that(f"cp ca.key {shlex.quote(str(stolen))}")
        self.assertEqual(run("--quiet", cwd=self.dir, path=path).returncode, 0)
        ca, key = self.dir / "ca.crt", self.dir / "server.key"
        csr, extensions, rogue = self.dir / "csr", self.dir / "ext", self.dir / "rogue.crt"
        extensions.write_text("[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nCN=x\n")
        command = [str(OPENSSL), "req", "-new", "-sha256", "-config", "ext", "-key", "server.key", "-out", "csr"]
        subprocess.run(command, cwd=self.dir, check=True)

        def sign(names: str) -> None:
            extensions.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
            subprocess.run(
                [str(OPENSSL), "x509", "-req", "-sha256", "-in", csr, "-CA", ca, "-CAkey", stolen, "-set_serial", "7",
                 "-days", "1", "-extfile", extensions, "-out", rogue],
                check=True, capture_output=True,
            )  # fmt: skip

        sign("DNS:a.localhost")
        connect(ca, rogue, key, "a.localhost")
        for names, host in (
            ("DNS:bank.example", "bank.example"),
            ("DNS:localhost,DNS:bank.example", "localhost"),
            ("DNS:notlocalhost", "notlocalhost"),
            ("IP:10.0.0.1", "10.0.0.1"),
            ("IP:::2", "::2"),
            ("DNS:localhost,email:root@bank.example", "localhost"),
            ("DNS:localhost,URI:https://bank.example/", "localhost"),
        ):
            sign(names)
            with (
                self.subTest(names),
                self.assertRaisesRegex(ssl.SSLCertVerificationError, "permitted subtree violation"),
            ):
                connect(ca, rogue, key, host)

    def test_the_ca_signs_servers_only_and_no_further_ca(self) -> None:
        text = text_of(self.made / "ca.crt")
        self.assertRegex(text, r"Basic Constraints: critical\s+CA:TRUE, pathlen:0\n")
        self.assertRegex(text, r"Key Usage: critical\s+Certificate Sign\n")
        self.assertRegex(text, r"Extended Key Usage: \s+TLS Web Server Authentication\n")

    def test_the_leaf_is_for_a_server_only(self) -> None:
        text = text_of(self.made / "server.crt")
        self.assertRegex(text, r"Basic Constraints: critical\s+CA:FALSE\n")
        self.assertRegex(text, r"Key Usage: critical\s+Digital Signature\n")
        self.assertRegex(text, r"Extended Key Usage: \s+TLS Web Server Authentication\n")
        for line in ("NIST CURVE: P-256", "X509v3 Subject Key Identifier", "X509v3 Authority Key Identifier"):
            self.assertIn(line, text)

    def test_no_two_cas_have_the_same_name(self) -> None:
        """Clients that hold two CAs of one name may try the wrong one."""
        one, other = (re.findall(r"Issuer: .*", text_of(out / "server.crt")) for out in (self.made, self.make()))
        self.assertNotEqual(one, other)

    def test_no_ca_key_remains(self) -> None:
        out = self.make()
        self.assertEqual(set(os.listdir(out)), THREE)  # hidden files too
        self.assertEqual([file.name for file in out.iterdir() if "PRIVATE" in file.read_text()], ["server.key"])
        command = [str(OPENSSL), "pkey", "-in", str(out / "server.key"), "-pubout"]
        ours = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        command = [str(OPENSSL), "x509", "-in", str(out / "ca.crt"), "-noout", "-pubkey"]
        self.assertNotEqual(ours, subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def test_no_ca_key_remains_when_openssl_fails(self) -> None:
        path = self.openssl_that("echo first >&2; echo the disk is full >&2; exit 1")
        out = self.dir / "out"
        done = run("--out", str(out), cwd=self.dir, path=path)
        self.assertIn("openssl x509 failed: the disk is full; ", self.refused(done))
        self.assertEqual(os.listdir(out), [])

    def test_no_ca_key_remains_when_it_is_interrupted(self) -> None:
        path = self.openssl_that(f"cp ca.key {shlex.quote(str(self.dir / 'signing'))}; exec sleep 600")
        out = self.dir / "out"
        process = subprocess.Popen(
            [str(BASH), str(SCRIPT), "--out", str(out)], env={**os.environ, "PATH": path}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (self.dir / "signing").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGTERM)
        self.assertNotEqual(process.wait(60), 0)
        self.assertTrue((self.dir / "signing").exists())
        self.assertEqual(os.listdir(out), [])

    def test_it_never_overwrites_unasked(self) -> None:
        for name in sorted(THREE):
            with self.subTest(name):
                out = self.dir / f"has-{name}"
                out.mkdir()
                (out / name).write_text("precious")
                error = self.refused(run("--out", str(out), cwd=self.dir))
                self.assertIn(f": {name};", error)
                self.assertIn("--force", error)
                self.assertEqual(os.listdir(out), [name])
                self.assertEqual((out / name).read_text(), "precious")

    def test_it_does_not_overwrite_what_came_while_it_worked(self) -> None:
        out = self.dir / "out"
        path = self.openssl_that(f"echo precious > {shlex.quote(str(out / 'server.key'))}")
        self.refused(run("--out", str(out), cwd=self.dir, path=path))
        self.assertEqual(os.listdir(out), ["server.key"])
        self.assertEqual((out / "server.key").read_text(), "precious\n")

    def test_a_dangling_link_counts_as_a_file(self) -> None:
        (self.dir / "server.key").symlink_to("nowhere")
        self.assertIn(": server.key;", self.refused(run(cwd=self.dir)))

    def test_force_replaces_whole_files(self) -> None:
        out = self.make()
        before = {name: (out / name).read_text() for name in THREE}
        readers = {name: (out / name).open() for name in THREE}
        done = run("--quiet", "--force", "--out", str(out), cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, reader in readers.items():
            with reader, self.subTest(name):
                self.assertEqual(reader.read(), before[name])  # a new file was moved over it
                self.assertNotEqual((out / name).read_text(), before[name])
        self.assertEqual(set(os.listdir(out)), THREE)
        self.trusted(out, "localhost")

    def test_force_does_not_write_into_a_directory(self) -> None:
        (self.dir / "server.key").mkdir()
        self.assertIn("server.key is a directory", self.refused(run("--force", cwd=self.dir)))
        self.assertEqual(os.listdir(self.dir / "server.key"), [])

    def test_what_was_there_survives_a_failed_force(self) -> None:
        out = self.make()
        before = {name: (out / name).read_text() for name in THREE}
        self.refused(run("--force", "--out", str(out), cwd=self.dir, path=self.openssl_that("exit 1")))
        self.assertEqual({file.name: file.read_text() for file in out.iterdir()}, before)

    def test_bad_host_names_are_refused(self) -> None:
        for host in (
            "a b", "a_b", "a-", "a..b", ".a", "a.", "a,,b", ",a", "a,", "x" * 64, ".".join(["x" * 50] * 5),
            "a\nDNS:evil.example", "a\n", "a/b", "a;b", "a#b", "$HOME", "$(id)", "a\\", "DNS:a", "caf\u00e9", "a@b",
            "*", "*.org", "a.*.org", "*a.example.org", "**.example.org",
            "1.2.3", "256.0.0.1", "1.2.3.04", "1.2.3.4.5", "1.2.3.4/8", "0x7f.1", "a.0x1", "a.1", "0.0.0.0",
            "::", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", ":1::2", "1::2:",
            "12345::", "g::", "fe80::1%lo", "[::1]", "::1/64", "::ffff:1.2.3.4",
        ):  # fmt: skip
            with self.subTest(host):
                self.assertIn("is not a host name or address;", self.refused(run("--host", host, cwd=self.dir)))
        self.assertEqual(os.listdir(self.dir), [])

    def test_days_are_as_asked_and_397_unasked(self) -> None:
        for out, days in ((self.made, 397), (self.make("--days", "1"), 1), (self.make("--days", "825"), 825)):
            with self.subTest(days):
                certificate = self.trusted(out, "localhost")
                start, end = (ssl.cert_time_to_seconds(str(certificate[at])) for at in ("notBefore", "notAfter"))
                over = datetime.timedelta(seconds=end - start) - datetime.timedelta(days=days)
                self.assertIn(over.total_seconds(), range(60))  # openssl asks for the time twice

    def test_days_beyond_reason_are_refused(self) -> None:
        for days in ("0", "00", "030", "826", "9" * 30, "1.5", "1e2", "x", "3 0", "7\n", "0x10", "days"):
            with self.subTest(days):
                self.assertIn("--days 1 to 825", self.refused(run("--days", days, cwd=self.dir)))
        self.assertEqual(os.listdir(self.dir), [])

    def test_another_name_may_be_given(self) -> None:
        self.assertEqual(set(os.listdir(self.make("--name", "chat.v2"))), {"ca.crt", "chat.v2.crt", "chat.v2.key"})

    def test_bad_names_are_refused(self) -> None:
        for name in ("ca", "CA", ".", "..", "../up", "a/b", "a b", "a\n", "x" * 101):
            with self.subTest(name):
                self.assertIn("--name", self.refused(run("--name", name, cwd=self.dir)))
        self.assertEqual(os.listdir(self.dir), [])

    def test_wrong_usage_exits_2(self) -> None:
        for options in ("--bogus", "here", "'a\nb'", "--host", "--out ''", "--out --force", "--days -1"):
            with self.subTest(options):
                self.assertIn("--help", self.refused(run(*shlex.split(options), cwd=self.dir), status=2))
        self.assertEqual(os.listdir(self.dir), [])

    def test_help_names_every_option(self) -> None:
        done = run("--help", cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        offered = set(re.findall(r"^    (--\w+(?: \| --\w+)*)\)", SCRIPT.read_text(), re.MULTILINE))
        for option in " | ".join(offered).split(" | "):
            self.assertIn(f"  {option} ", done.stdout)

    def test_a_place_that_cannot_be_written_is_one_line(self) -> None:
        (self.dir / "file").write_text("")
        self.assertIn("cannot make or enter file/x", self.refused(run("--out", "file/x", cwd=self.dir)))

    def test_a_missing_openssl_is_one_line(self) -> None:
        self.assertIn("install OpenSSL", self.refused(run(cwd=self.dir, path=str(self.dir))))

    def test_what_it_prints_can_be_pasted(self) -> None:
        out = self.dir / "it's here"
        done = run("--out", str(out), cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("nothing else can ever be signed", " ".join(done.stdout.split()))
        for tool in ("curl --cacert", "wscat --ca", "certutil -d", "security add-trusted-cert", "certutil -user"):
            with self.subTest(tool):
                line = done.stdout[done.stdout.index(tool) :].splitlines()[0]
                self.assertIn(str(out / "ca.crt"), shlex.split(line))
        self.assertIn("Firefox", done.stdout)


if __name__ == "__main__":
    unittest.main()
