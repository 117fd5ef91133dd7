"""The judges of `make scan`: whatever is weaker than meant is complained of."""

from __future__ import annotations

import copy
import unittest
from typing import Any

from tests.scan import ANSWERED, SUITES_1_2, SUITES_1_3, WANTED, judge_sslyze, judge_testssl


def sslyze_report() -> dict[str, Any]:
    """What sslyze says of a server that is as it is meant to be."""

    def suites(offered: bool, names: set[str]) -> dict[str, Any]:
        accepted = [{"cipher_suite": {"name": name}} for name in sorted(names)]
        return {"is_tls_version_supported": offered, "accepted_cipher_suites": accepted}

    old = {f"{version}_cipher_suites": suites(False, set()) for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")}
    trusted = {"trust_store": {"name": "Supplied CA file"}, "was_validation_successful": True}
    public = {"trust_store": {"name": "Mozilla"}, "was_validation_successful": False}
    results: dict[str, dict[str, Any]] = {
        **old,
        "tls_1_2_cipher_suites": suites(True, SUITES_1_2),
        "tls_1_3_cipher_suites": suites(True, SUITES_1_3),
        "elliptic_curves": {"supported_curves": [{"name": "X25519"}, {"name": "secp256r1"}]},
        "session_renegotiation": {
            "is_vulnerable_to_client_renegotiation_dos": False,
            "supports_secure_renegotiation": True,
        },
        "certificate_info": {
            "certificate_deployments": [
                {"path_validation_results": [public, trusted], "received_certificate_chain": [{}]}
            ]
        },
        "tls_compression": {"supports_compression": False},
        "tls_1_3_early_data": {"supports_early_data": False},
        "tls_extended_master_secret": {"supports_ems_extension": True},
        "tls_fallback_scsv": {"supports_fallback_scsv": True},
        "heartbleed": {"is_vulnerable_to_heartbleed": False},
        "openssl_ccs_injection": {"is_vulnerable_to_ccs_injection": False},
        "robot": {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"},
    }
    scan = {"scan_status": "COMPLETED", "scan_result": {name: {"result": found} for name, found in results.items()}}
    return {"server_scan_results": [scan]}


class SSLyze(unittest.TestCase):
    def test_has_nothing_to_say_of_what_is_meant(self) -> None:
        self.assertEqual(judge_sslyze(sslyze_report()), [])

    def test_every_weakness_is_complained_of(self) -> None:
        for command, name, value in (
            ("tls_1_1_cipher_suites", "is_tls_version_supported", True),
            ("tls_1_2_cipher_suites", "accepted_cipher_suites", [{"cipher_suite": {"name": "TLS_RSA_WITH_RC4_128"}}]),
            ("elliptic_curves", "supported_curves", [{"name": "secp256r1"}, {"name": "X448"}]),
            ("tls_compression", "supports_compression", True),
            ("tls_1_3_early_data", "supports_early_data", True),
            ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", True),
            ("robot", "robot_result", "VULNERABLE_STRONG_ORACLE"),
        ):
            with self.subTest(command):
                report = copy.deepcopy(sslyze_report())
                report["server_scan_results"][0]["scan_result"][command]["result"][name] = value
                self.assertEqual(len(judge_sslyze(report)), 1)

    def test_a_scan_that_did_not_come_to_its_end_is_no_praise(self) -> None:
        report = sslyze_report()
        report["server_scan_results"][0]["scan_status"] = "ERROR_NO_CONNECTIVITY"
        self.assertEqual(judge_sslyze(report), ["sslyze: the scan is ERROR_NO_CONNECTIVITY"])


class TestSSL(unittest.TestCase):
    def findings(self) -> dict[str, dict[str, str]]:
        said = {name: wanted.replace("\\", "").replace(".*", "") for name, wanted in WANTED.items()}
        return {name: {"id": name, "severity": "OK", "finding": text} for name, text in said.items()}

    def test_has_nothing_to_say_of_what_is_meant(self) -> None:
        self.assertEqual(judge_testssl(list(self.findings().values())), [])

    def test_what_is_not_good_needs_an_answer(self) -> None:
        found = self.findings()
        for name in ("cert_revocation", "cert_expirationStatus"):
            found[name] = {"id": name, "severity": "HIGH", "finding": "bad"}
        self.assertEqual(judge_testssl(list(found.values())), ["testssl: cert_expirationStatus: HIGH: bad"])
        self.assertIn("cert_revocation", ANSWERED)

    def test_what_is_not_as_wanted_or_not_said_is_complained_of(self) -> None:
        found = self.findings()
        found["TLS1_1"]["finding"] = "offered"
        del found["heartbleed"]
        faults = judge_testssl([*found.values(), {"id": "DH_groups", "severity": "OK", "finding": "ffdhe8192"}])
        self.assertEqual(
            faults,
            [
                "testssl: TLS1_1: offered, not not offered",
                "testssl: heartbleed: nothing, not not vulnerable.*",
                "testssl: finite fields: ffdhe8192",
            ],
        )
