"""
The configuration as values.  Each default that the file may leave out stands here, once, with its reason.

`config.load` makes these; `tap` and `cli` take them apart and hand plain
arguments to the rooms below.  No reading, no checking.
"""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from smtpbridge.dialect.policy import UNSAID, Defaults, Policy
from smtpbridge.secret import Secret, SecretHash
from smtpbridge.settings.endpoint import EndpointText
from smtpbridge.settings.event_values import Events

Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# Infobip takes 20,971,520 octets.  What the bridge adds counts there too: trace fields, X-IB-* headers with 4,000
# octets of callback data and a Cc of some hundred addresses stay well under the 64 KiB that are kept back.
PROVIDER_MESSAGE_BYTES = 20_971_520
ROOM_FOR_OUR_HEADERS = 65_536


class AuthMode(Enum):
    """Whether a listener offers AUTH, and whether an allowed network does without it."""

    OPTIONAL = "optional"
    REQUIRED = "required"
    OFF = "off"


class Mode(Enum):
    """When a sender hears 250: when the provider has said so, or when the message is durable in the store."""

    PROXY = "proxy"
    QUEUE = "queue"


class LineEndings(Enum):
    """What becomes of a body with a bare CR or LF: written anew with CRLF, or refused."""

    NORMALIZE = "normalize"
    REJECT = "reject"


class ProxyTls(Enum):
    """Whether TLS ended at the balancer: where its header says so, or on every connection that it carries."""

    HEADER = "header"
    ALWAYS = "always"


class Security(Enum):
    """How TLS begins on the way up; without TLS nothing is sent."""

    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its key, both as PEM, with the paths that they came from."""

    certificate_path: Path
    key_path: Path
    certificate: bytes
    key: Secret


@dataclass(frozen=True, slots=True)
class TrustRoots:
    """The certificates that an upstream's chain must end in, as PEM, with the path that they came from."""

    path: Path
    certificates: bytes


@dataclass(frozen=True, slots=True)
class Listener:
    """
    One place where senders connect.

    `endpoint` is for `twisted.internet.endpoints.serverFromString`; `address` is the same, taken apart.  `idle_seconds`
    is the wait for a command, `data_seconds` that for the next block of a message.  A body of more than `spool_bytes`
    goes to a temporary file.  `defaults` count for the messages that come in here.  Peers in `proxy_from` are
    balancers, which have `proxy_seconds` to say whom they speak for.  `endpoint_digest` stands for the files of an
    "ssl:" endpoint, empty where there are none.
    """

    endpoint: str
    address: EndpointText
    allow: tuple[Network, ...] = LOOPBACK
    proxy_from: tuple[Network, ...] = ()
    proxy_seconds: float = 5.0  # A balancer sends its header at once; Postfix waits as long.
    proxy_tls: ProxyTls = ProxyTls.HEADER
    key_pair: KeyPair | None = None
    auth: AuthMode = AuthMode.OPTIONAL
    mode: Mode = Mode.PROXY
    line_endings: LineEndings = LineEndings.NORMALIZE
    idle_seconds: float = 300.0  # RFC 5321, 4.5.3.2.7: at least five minutes.
    handshake_seconds: float = 60.0  # Two round trips and some arithmetic; whoever needs longer is not shaking hands.
    data_seconds: float = 180.0  # As long as a sender itself waits for a block to go out (RFC 5321, 4.5.3.2.5).
    min_rate_bytes: int = 500  # As upstream: an octet now and then must not hold a session.
    verdict_seconds: float = 570.0  # A sender waits ten minutes after its final dot (RFC 5321, 4.5.3.2.6).
    max_sessions: int = 4096
    max_sessions_per_address: int = 2048
    # For each address.  None: senders are the company's own, and some connect anew for every message.
    max_connections_per_minute: int = 0
    max_messages_per_minute: int = 0
    max_message_bytes: int = PROVIDER_MESSAGE_BYTES - ROOM_FOR_OUR_HEADERS
    max_recipients: int = 1000  # What Infobip takes in one transaction.
    max_line_bytes: int = 2048  # RFC 5321, 4.5.3.1.4 asks for 512; an AUTH line with a long key needs more.
    max_header_bytes: int = 4 * 1024 * 1024  # X-MSYS-API may hold 1 MiB, and mail programs fold and encode it.
    max_header_fields: int = 1000  # Mail has under a hundred; reading costs by the field.
    max_bad_commands: int = 20
    max_idle_commands: int = 100  # Keep-alives of a pool, one a minute; a message sets the count back.
    spool_bytes: int = 262_144  # Nearly all mail is smaller and never touches a disk.
    defaults: Defaults = UNSAID
    endpoint_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Credential:
    """
    What a sender presents; several may share one user name.

    `defaults` count for whoever presents this one, and so does `max_messages_per_minute`, in the listener's stead.
    """

    username: str
    secret: SecretHash
    defaults: Defaults = UNSAID
    max_messages_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """
    How often logins may fail before nobody looks at them for a while.

    So many failures of one address within a window bring a pause, which doubles up to the longest; a user name may have
    ten times as many.  No "no" comes before `delay_seconds`.
    """

    max_failed_logins: int = 10  # A person who looks for the right key needs fewer, a program with a wrong one is told.
    window_seconds: float = 600.0
    longest_pause_seconds: float = 900.0  # Some thousand guesses a day; a sender that was mended is not out for long.
    delay_seconds: float = 1.0  # Nobody who is right waits for it; one connection makes twenty guesses in as many.


@dataclass(frozen=True, slots=True)
class Host:
    """Where to connect: a name or an IP address (IPv6 without brackets), and a port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each phase with an upstream may take, in seconds; the minima of RFC 5321, 4.5.3.2 where it has one."""

    connect: float = 30.0
    tls: float = 60.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """
    One account at the provider, and how to reach it.

    An empty `server_name` means the dialled host; without `trust_roots` the system's count; `client_pair` is what the
    bridge shows of itself.  `insecure_skip_verification` leaves out who the server is, and nothing else.
    `idle_seconds`, `max_age_seconds` and `max_messages` say when a kept connection is given up; `max_waiters` and
    `wait_seconds` bound the wait for one; `min_rate_bytes` is the slowest body in octets a second.
    """

    name: str
    hosts: tuple[Host, ...]
    password: Secret
    username: str = "App"  # Infobip's user name for an API key.
    security: Security = Security.STARTTLS
    server_name: str = ""
    trust_roots: TrustRoots | None = None
    client_pair: KeyPair | None = None
    insecure_skip_verification: bool = False  # Whoever is on the way could read the mail and the password.
    max_connections: int = 20
    deadlines: Deadlines = field(default=Deadlines())
    idle_seconds: float = 30.0  # Infobip names no limit; below the minute that strict servers grant.
    max_age_seconds: float = 600.0  # New addresses behind the name are met within ten minutes; some servers end at 20.
    max_messages: int = 100_000  # A second line of defence: age is the limit that should act.
    max_waiters: int = 1000
    wait_seconds: float = 60.0
    min_rate_bytes: int = 500  # One octet a minute must not hold a connection; any real link is faster.
    max_reply_line_bytes: int = 4096  # RFC 5321, 4.5.3.1.5 allows 512; some servers put an essay into a refusal.
    max_reply_lines: int = 128  # The longest reply there is, to EHLO, has some twenty.


@dataclass(frozen=True, slots=True)
class Store:
    """Where is kept what must survive."""

    path: Path = Path("/var/lib/smtpbridge")


@dataclass(frozen=True, slots=True)
class Queue:
    """
    How the bridge goes on with what it took over.

    The wait before a parcel is tried again doubles from `first_retry_seconds` to `longest_retry_seconds`; after
    `lifetime_seconds` it is given up.
    """

    first_retry_seconds: float = 60.0
    longest_retry_seconds: float = 3600.0
    lifetime_seconds: float = 259_200.0  # 72 hours, as SparkPost tries.


@dataclass(frozen=True, slots=True)
class Bounces:
    """
    How a sender is told of recipients that the bridge gave up on.

    `upstream` is the name of one; `header_from` is an ASCII mailbox, fit for a From field; an empty `envelope_from` is
    the null sender (RFC 5321, 4.5.5).
    """

    upstream: str
    header_from: str
    envelope_from: str


@dataclass(frozen=True, slots=True)
class Admin:
    """
    Where operators look.

    Without a `token` only this machine reaches the endpoint, by names of its own or `host_names`.  `endpoint_digest` is
    as with a `Listener`.
    """

    endpoint: str
    address: EndpointText = field(compare=False)  # it is read from `endpoint`
    token: Secret | None = None
    host_names: tuple[str, ...] = ()
    endpoint_digest: bytes = b""


class LogFormat(Enum):
    """Lines for people or for programs; "auto" looks at who reads standard output."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Level(Enum):
    """From which level on is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    CRITICAL = "critical"


class LogTo(Enum):
    """Where the log goes, if not to a file."""

    STDOUT = "stdout"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, how it is written, and where to."""

    format: LogFormat = LogFormat.AUTO
    level: Level = Level.INFO
    to: LogTo | Path = LogTo.STDOUT


@dataclass(frozen=True, slots=True)
class Process:
    """
    How many processes share the work, and how much room the messages in all of them may take.

    Temporary files lie in `temporary_folder`, by default the system's.  A worker whose event loop is silent for
    `stuck_seconds` is replaced.  Commands talk to the daemon by the socket `control`, where there is one.
    """

    workers: int = 1
    max_body_memory_bytes: int = 268_435_456  # A thousand messages as large as may stay in memory at all.
    max_temporary_bytes: int = 8 * 1024**3  # Four hundred messages of the largest size.
    temporary_folder: Path | None = None
    stuck_seconds: float = 30.0  # Nothing here blocks for a second; a machine that swaps may.
    control: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """
    All of the file.

    The first upstream is the default.  `notes` are sentences for the log at start: what is read but not obeyed yet,
    and what is allowed but dangerous.
    """

    hostname: str
    listeners: tuple[Listener, ...]
    credentials: tuple[Credential, ...]
    upstreams: tuple[Upstream, ...]
    store: Store
    translation: Policy
    process: Process
    queue: Queue = field(default=Queue())
    bounces: Bounces | None = None
    admin: Admin | None = None
    logins: LoginLimits = field(default=LoginLimits())
    log: Log = field(default=Log())
    notes: tuple[str, ...] = ()
    events: Events | None = None
