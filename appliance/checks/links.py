"""Who can be reached: the daemon of this home, and the broker it is enrolled with."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

from appliance.checks.finding import Finding, Patient
from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.local import Status
from appliance.errors import ApplianceError, DaemonUnavailable
from appliance.transport.local import LocalClient
from appliance.trust import enrolment

BROKER_TIMEOUT_S: Final = 5.0

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def daemon(patient: Patient) -> Finding:
    """Whether the daemon answers, and what it says of itself."""
    try:
        said = LocalClient(patient.home.root).request(Status()).result
    except DaemonUnavailable as error:
        remedy = "`systemctl status appliance`" if patient.home.is_provisioned else "Any `appliance say` starts one."
        return Finding("daemon", "fail" if patient.home.is_provisioned else "ok", f"does not run ({error})", remedy)
    except ApplianceError as error:
        return Finding("daemon", "fail", str(error), "End whatever listens there and start the daemon again.")
    found = f"{said.get('state')}, start {said.get('boot')}, pins {'simulated' if said.get('simulated') else 'real'}"
    if said.get("locked"):
        return Finding(
            "daemon", "warn", f"{found}; the emergency stop is latched", "`appliance release`, once it is safe."
        )
    degraded = said.get("degraded")
    if isinstance(degraded, list) and degraded:
        reasons = "; ".join(map(str, degraded))
        return Finding("daemon", "warn", f"{found}; degraded: {reasons}", "Mend the reason; it recovers by itself.")
    return Finding("daemon", "ok", found)


def fleet(patient: Patient) -> Finding:
    """Whether this device is enrolled, and whether its broker can be reached."""
    root = patient.home.root
    try:
        granted = enrolment.load(root)
    except ApplianceError as error:
        return Finding("fleet", "fail", str(error), "Enrol this device again: `appliance fleet --help`.")
    if granted is None:
        return Finding("fleet", "ok", "standalone: nothing is sent, and nobody else may command")
    broker = granted.broker
    found = f"enrolled with {', '.join(c.name for c in granted.controllers)}; broker {broker.host}:{broker.port}"
    try:
        _reach(broker)
    except (OSError, ssl.SSLError) as error:
        remedy = "Everything here works without it; reports wait in the outbox."
        return Finding("fleet", "warn", f"{found} cannot be reached: {error}", remedy)
    if broker.ca_file is None and broker.host not in _LOOPBACK:
        remedy = "Enrol it again with the site's ca_file; commands are signed, but readable on the way."
        return Finding("fleet", "warn", f"{found}, without TLS", remedy)
    return Finding("fleet", "ok", f"{found} accepts connections")


def _reach(broker: BrokerSettings) -> None:
    """Open and close a connection; no MQTT is spoken, a session under our name would evict the daemon's."""
    with socket.create_connection((broker.host, broker.port), timeout=BROKER_TIMEOUT_S) as plain:
        if broker.ca_file is None:
            return
        context = ssl.create_default_context(cafile=broker.ca_file)
        if broker.certificate_file and broker.key_file:
            context.load_cert_chain(Path(broker.certificate_file), Path(broker.key_file))
        with context.wrap_socket(plain, server_hostname=broker.host):
            pass
