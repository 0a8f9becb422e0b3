"""
Read `[upstream.NAME]`: where mail goes, and the password for it.

The password has three sources, in this order: the file that `password_file`
names, the variable `SMTPBRIDGE_UPSTREAM_NAME_PASSWORD`, the systemd credential
`upstream.NAME.password`.  What is nearest to the configuration counts, so a
variable left over in an environment cannot replace a file that is named.
"""

import re
from dataclasses import fields

from smtpbridge.secret import Secret
from smtpbridge.settings import checks
from smtpbridge.settings.pem import certificates_fault, read_key_pair
from smtpbridge.settings.regions import PORTS, REGIONS
from smtpbridge.settings.surroundings import Surroundings, one_line, read_file
from smtpbridge.settings.values import Deadlines, Host, Security, TrustRoots, Upstream
from smtpbridge.toml_table import Table, quoted

# A name becomes part of a variable's and a credential's name, and of log fields.
_UPSTREAM_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_A_VARIABLE = re.compile(r"[^A-Za-z0-9]")
_DEFAULT = Upstream("main", (), Secret(b""))


def read_upstream(name: str, table: Table, around: Surroundings) -> Upstream:
    """Return one upstream; where its password is missing the fault is noted and the password is empty."""
    if not _UPSTREAM_NAME.fullmatch(name):
        table.fault("name", f'{quoted(name)} is not usable; write letters, digits, "-" and "_" only')
    security = table.choice("security", _DEFAULT.security)
    upstream = Upstream(
        name=name,
        hosts=_read_hosts(table, security),
        username=table.text("username", _DEFAULT.username, check=checks.user_name),
        password=Secret(_read_password(name, table, around)),
        security=security,
        server_name=table.text("server_name", check=checks.host_name),
        trust_roots=_read_trust_roots(table, around),
        client_pair=read_key_pair(table, around, "client_certificate", "client_key", "mutual TLS"),
        insecure_skip_verification=table.flag("insecure_skip_verification", _DEFAULT.insecure_skip_verification),
        max_connections=table.whole("max_connections", _DEFAULT.max_connections),
        deadlines=_read_deadlines(table.table("deadlines")),
        idle_seconds=table.seconds("idle_seconds", _DEFAULT.idle_seconds),
        max_age_seconds=table.seconds("max_age_seconds", _DEFAULT.max_age_seconds),
        max_messages=table.whole("max_messages", _DEFAULT.max_messages),
        max_waiters=table.whole("max_waiters", _DEFAULT.max_waiters, least=0),
        wait_seconds=table.seconds("wait_seconds", _DEFAULT.wait_seconds),
        min_rate_bytes=table.whole("min_rate_bytes", _DEFAULT.min_rate_bytes),
        # RFC 5321, 4.5.3.1.5: a reply line may have 512 octets.
        max_reply_line_bytes=table.whole("max_reply_line_bytes", _DEFAULT.max_reply_line_bytes, least=512),
        max_reply_lines=table.whole("max_reply_lines", _DEFAULT.max_reply_lines, least=16),
    )
    table.close()
    if upstream.insecure_skip_verification:
        _shout(table, upstream, around)
    return upstream


def password_variable(name: str) -> str:
    """Return the name of the environment variable that may hold an upstream's password."""
    return f"SMTPBRIDGE_UPSTREAM_{_NOT_IN_A_VARIABLE.sub('_', name).upper()}_PASSWORD"


def password_credential(name: str) -> str:
    """Return the name of the systemd credential that may hold an upstream's password."""
    return f"upstream.{name}.password"


def _read_hosts(table: Table, security: Security) -> tuple[Host, ...]:
    hosts: list[Host] = []

    def check(text: str) -> str | None:
        found = checks.read_host(text)
        if isinstance(found, str):
            return found
        hosts.append(found)
        return None

    written = table.texts("hosts", check=check)
    region = table.text("region", check=lambda text: _region_fault(text, security))
    match table.has("hosts"), table.has("region"):
        case True, True:
            table.fault("region", "and hosts are both given; write one of them")
        case False, False:
            table.fault("hosts", 'is missing; write hosts = ["smtp-api.infobip.com:587"], or region = "europe"')
        case True, False if not written and table.is_empty("hosts"):
            table.fault("hosts", 'is empty; write ["smtp-api.infobip.com:587"]')
    return (Host(REGIONS[region].host, PORTS[security]),) if region else tuple(hosts)


def _region_fault(text: str, security: Security) -> str | None:
    region = REGIONS.get(text)
    if region is None:
        return f"is no region; write one of {', '.join(REGIONS)}, or hosts = [...]"
    if PORTS[security] in region.ports:
        return None
    ports = " and ".join(map(str, region.ports))
    return f'answers on port {ports} only, which is for security = "starttls"'


def _read_trust_roots(table: Table, around: Surroundings) -> TrustRoots | None:
    file = read_file(table, "trust_roots", around)
    if file is None:
        return None
    if wrong := certificates_fault(file[1]):
        table.fault("trust_roots", f"the file {wrong}")
    return TrustRoots(*file)


def _shout(table: Table, upstream: Upstream, around: Surroundings) -> None:
    if upstream.trust_roots is not None:
        table.fault("trust_roots", "is given, and insecure_skip_verification would not look at it; leave out one")
    around.notes.append(
        f"{table.place} insecure_skip_verification: INSECURE: nobody asks who the server is; whoever stands between "
        "here and there can read all mail and the password; write trust_roots for a certificate of your own instead"
    )


def _read_deadlines(table: Table) -> Deadlines:
    default = Deadlines()
    # The values' names are the keys' names, so a deadline cannot be added without being read.
    found = Deadlines(**{one.name: table.seconds(one.name, getattr(default, one.name)) for one in fields(Deadlines)})
    table.close()
    return found


def _read_password(name: str, table: Table, around: Surroundings) -> bytes:
    """Return the password, or nothing and a fault."""
    found = _find_password(name, table, around)
    if found is None:
        return b""
    source, content = found
    password = one_line(content)
    if isinstance(password, str):
        table.fault("password_file", f"{quoted(source)} {password}")
        return b""
    return password


def _find_password(name: str, table: Table, around: Surroundings) -> tuple[str, bytes] | None:
    """Return where the password stands and what stands there, from the first source that has one."""
    variable, credential = password_variable(name), password_credential(name)
    if table.has("password_file"):
        file = read_file(table, "password_file", around, private=True)
        return file and (str(file[0]), file[1])
    if value := around.variable(variable):
        return f"${variable}", value.encode("utf-8", "surrogateescape")
    if folder := around.variable("CREDENTIALS_DIRECTORY"):
        path = around.path(folder) / credential
        try:
            return str(path), around.read(path)
        except FileNotFoundError:
            pass  # Then it is missing in all three places, as the fault below says.
        except OSError as error:
            table.fault("password_file", f"{quoted(str(path))} cannot be read ({(error.strerror or '').lower()})")
            return None
    table.fault(
        "password_file",
        f"is missing; write password_file, set ${variable}, or give the systemd credential {credential}",
    )
    return None
