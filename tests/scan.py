"""Our TLS as two scanners see it, against what it is meant to be: `make scan`.

sslyze and testssl.sh look at a server that runs as `make run` would start it, with a certificate of our own tool. Every
finding that is not good needs its line in `ANSWERED`; what is offered has to be exactly what is meant. A scanner that
is not on the machine is skipped, and says so.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support import ROOT, certificate

HOME = ROOT / ".venv-scan"
PATIENCE = 300  # seconds; the slower of the two takes some 40
SUITES_1_2 = {
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}
SUITES_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}
WANTED = {  # what testssl.sh has to say of each of these
    "SSLv2": "not offered",
    "SSLv3": "not offered",
    "TLS1": "not offered",
    "TLS1_1": "not offered",
    "TLS1_2": "offered",
    "TLS1_3": "offered with final",
    "ALPN": "http/1\\.1",
    "PFS_ECDHE_curves": "prime256v1 X25519",
    "cipherlist_AVERAGE": "not offered",
    "cert_chain_of_trust": "passed\\.",
    "cert_signatureAlgorithm": "ECDSA with SHA256",
    "cert_trust": "Ok via SAN.*",
    **dict.fromkeys(("heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_client_renego"), "not vulnerable.*"),
    **dict.fromkeys(("CRIME_TLS", "BREACH", "SWEET32", "FREAK", "BEAST", "LUCKY13", "RC4"), "not vulnerable.*"),
    **dict.fromkeys(("POODLE_SSL", "DROWN", "LOGJAM"), "not vulnerable.*"),
}
ANSWERED = {
    "cert_revocation": "the CA of one machine, whose key is deleted at once, could revoke nothing",
    "DNS_CAArecord": "localhost has no DNS records",
    "engine_problem": "of the scanner's own machine",
}


def judge_sslyze(report: dict[str, Any]) -> list[str]:
    """What there is to complain of in its JSON."""
    (scanned,) = report["server_scan_results"]
    if scanned["scan_status"] != "COMPLETED":
        return [f"sslyze: the scan is {scanned['scan_status']}"]
    results = {name: found["result"] for name, found in scanned["scan_result"].items() if found["result"]}
    seen: dict[str, object] = {
        f"{version} offered": results[f"{version}_cipher_suites"]["is_tls_version_supported"]
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    }
    for version in ("tls_1_2", "tls_1_3"):
        accepted = results[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        seen[f"suites of {version}"] = {suite["cipher_suite"]["name"] for suite in accepted}
    curves = results["elliptic_curves"]["supported_curves"]
    renegotiation = results["session_renegotiation"]
    (deployment,) = results["certificate_info"]["certificate_deployments"]
    trusted = [path["was_validation_successful"] for path in deployment["path_validation_results"]
               if path["trust_store"]["name"] == "Supplied CA file"]  # fmt: skip
    seen |= {
        "groups": {curve["name"] for curve in curves},
        "compression": results["tls_compression"]["supports_compression"],
        "early data": results["tls_1_3_early_data"]["supports_early_data"],
        "renegotiation by the client": renegotiation["is_vulnerable_to_client_renegotiation_dos"],
        "secure renegotiation": renegotiation["supports_secure_renegotiation"],
        "extended master secret": results["tls_extended_master_secret"]["supports_ems_extension"],
        "fallback SCSV": results["tls_fallback_scsv"]["supports_fallback_scsv"],
        "Heartbleed": results["heartbleed"]["is_vulnerable_to_heartbleed"],
        "CCS injection": results["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"],
        "ROBOT": results["robot"]["robot_result"],
        "trusted by its CA": trusted,
        "certificates sent": len(deployment["received_certificate_chain"]),
    }
    wanted: dict[str, object] = {
        **{f"{version} offered": False for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")},
        **{f"{version} offered": True for version in ("tls_1_2", "tls_1_3")},
        "suites of tls_1_2": SUITES_1_2,
        "suites of tls_1_3": SUITES_1_3,
        "groups": {"X25519", "secp256r1"},
        **dict.fromkeys(("compression", "early data", "renegotiation by the client", "Heartbleed"), False),
        **dict.fromkeys(("secure renegotiation", "extended master secret", "fallback SCSV"), True),
        "CCS injection": False,
        "ROBOT": "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
        "trusted by its CA": [True],
        "certificates sent": 1,
    }
    return [f"sslyze: {name}: {seen[name]}, not {wanted[name]}" for name in seen if seen[name] != wanted[name]]


def judge_testssl(findings: list[dict[str, str]]) -> list[str]:
    """What there is to complain of in its flat JSON: what is not good and not answered, and what is not as wanted."""
    found = {finding["id"]: finding for finding in findings}
    faults = [
        f"testssl: {name}: {finding['severity']}: {finding['finding']}"
        for name, finding in found.items()
        if finding["severity"] not in ("OK", "INFO") and name not in ANSWERED
    ]
    for name, wanted in WANTED.items():
        said = found.get(name, {}).get("finding", "nothing")
        if not re.fullmatch(wanted, said):
            faults.append(f"testssl: {name}: {said}, not {wanted}")
    if "DH_groups" in found:
        faults.append(f"testssl: finite fields: {found['DH_groups']['finding']}")
    return faults


@contextlib.contextmanager
def server(folder: Path, *flags: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The product in a process of its own, meanwhile, and where it listens. What it logs goes into the folder."""
    pair = certificate()
    command = [sys.executable, "-m", "gochatsecure", "-addr=localhost:0", "-store=memory:", f"-data={folder / 'data'}"]
    command += [f"-cert={pair.cert}", f"-key={pair.key}", "-max-connections-per-address=0", *flags]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield process.stdout.readline().rpartition("https://")[2].strip(), process
        finally:
            process.terminate()


def sslyze(address: str, folder: Path) -> list[str] | None:
    """What it complains of; None where it cannot be run."""
    if not (HOME / "ready").exists():
        print(f"making the scanner's environment in {HOME.name}", flush=True)
        venv.create(HOME, clear=True, with_pip=True)
        pip = [str(HOME / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        if subprocess.run([*pip, "sslyze>=6.3,<7"]).returncode:
            print("SKIPPED: sslyze: it cannot be installed here")
            return None
        (HOME / "ready").touch()
    asked = "certinfo sslv2 sslv3 tlsv1 tlsv1_1 tlsv1_2 tlsv1_3 compression early_data openssl_ccs fallback heartbleed"
    asked += f" robot reneg elliptic_curves ems mozilla_config=disable certinfo_ca_file={certificate().ca}"
    options = [f"--{option}" for option in asked.split()]
    report = folder / "sslyze.json"
    report.unlink(missing_ok=True)
    command = [str(HOME / "bin/sslyze"), "--quiet", f"--json_out={report}", *options, address]
    subprocess.run(command, timeout=PATIENCE, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return judge_sslyze(json.loads(report.read_text()))


def testssl(address: str, folder: Path) -> list[str] | None:
    """The same."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        print("SKIPPED: testssl: it is not on this machine (Debian: testssl.sh)")
        return None
    report, pair = folder / "testssl.json", certificate()
    report.unlink(missing_ok=True)  # it would not write over an earlier one
    looks = ["-p", "-s", "-f", "-P", "-S", "-U"]
    options = ["--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1", *looks]
    command = [program, *options, "--jsonfile", str(report), "--add-ca", str(pair.ca), address]
    subprocess.run(command, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    return judge_testssl(json.loads(report.read_text()))


def looked(scanner: Callable[[str, Path], list[str] | None], address: str, folder: Path) -> list[str] | None:
    """What it complains of; that it did not come to its end is a complaint, too."""
    try:
        return scanner(address, folder)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        return [f"{scanner.__name__}: no report: {type(error).__name__}"]


def main() -> int:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        faults: list[str] = []
        with server(folder) as (address, _):
            for scanner in (sslyze, testssl):
                complaints = looked(scanner, address, folder)
                if complaints:  # on a busy machine a scanner's own patience may end: what is so is seen twice
                    print(f"{scanner.__name__}: looks again: {'; '.join(complaints)}", flush=True)
                    again = looked(scanner, address, folder) or []
                    complaints = [complaint for complaint in complaints if complaint in again]
                if complaints is not None:
                    print(f"{scanner.__name__}: {len(complaints) or 'no'} complaints", flush=True)
                    faults += complaints
        logged = (folder / "log").read_text()
    faults += [f"our bug: {line}" for line in logged.splitlines() if "our bug" in line or "Traceback" in line]
    for fault in faults:
        print(f"scan: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
