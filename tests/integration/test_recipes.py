"""docs/senders.md and docs/moving.md: the settings that stand there, taken from there, in the real programs."""

import json
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, block_under
from tests.integration.conftest import Pair
from tests.integration.postfix import needs_sasl_plain, postfix
from tests.integration.rig import (
    NODE_MODULES,
    ROOT,
    SENDER_SECRET,
    Papers,
    eventually,
    program,
    run,
)
from tests.integration.world import unpacked, world

PAGE = DOCS / "senders.md"
SENDER, RECIPIENT = "news@sender.example", "you@case.example"
API = json.dumps({"campaign_id": "recipe", "tags": ["one"]})
MESSAGE = f"From: News <{SENDER}>\nTo: {RECIPIENT}\nSubject: Sample\nX-MSYS-API: {API}\n\nHello.\n".encode()
DJANGO = ROOT / ".cache" / "django"
PHP = Path("/usr/share/php")


def settings(heading: str, language: str, pair: Pair, host: str = "localhost") -> str:
    """Return the settings that stand on the page, with the place and the secret of this test."""
    text = block_under(heading, PAGE, language)
    return (
        text.replace("bridge.example.com", host)
        .replace("587", str(pair.bridge.port))
        .replace("your-old-key", SENDER_SECRET)
    )


def session(message: bytes) -> bytes:
    """Return what an application says to its Postfix to send a message."""
    envelope = f"EHLO app.example.com\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode()
    return envelope + message.replace(b"\n", b"\r\n") + b".\r\nQUIT\r\n"


def assert_arrived(pair: Pair) -> None:
    """One message is there, translated, over TLS and with a login."""
    message = pair.sandbox.one_message()
    assert (message.mail_from, message.rcpt_to) == (SENDER, (RECIPIENT,))
    assert message.field("X-IB-Bulk-Id") == "recipe"
    assert json.loads(message.field("X-IB-Callback-Data") or "") == {"campaign_id": "recipe", "tags": ["one"]}
    assert b"x-msys" not in message.octets.lower()
    assert message.body.rstrip() == b"Hello."
    assert "with ESMTPSA" in message.header.partition(b"\r\nReceived:")[0].decode()


def test_postfix_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers, tmp_path: Path) -> None:
    needs_sasl_plain()
    login = tmp_path / "sasl_passwd"
    login.write_text(settings("Postfix", "sasl_passwd", pair))
    written = settings("Postfix", "postfix", pair).replace("texthash:/etc/postfix/sasl_passwd", f"texthash:{login}")
    with postfix(f"{written}\nsmtp_tls_CAfile = {papers.authority}\n") as server:
        assert server.inject(session(MESSAGE)) == 1
        eventually(lambda: server.queue() == "", f"an empty queue of Postfix\n{server.log}")

    assert_arrived(pair)


def test_exim_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers) -> None:
    exim = unpacked("exim4-daemon-light") / "usr/sbin/exim4"
    # That the host is this machine itself is the test's own matter.
    own = settings("Exim", "exim", pair).replace("* localhost", "* localhost byname\n  self = send")
    with world(papers) as place:
        for name in ("spool", "log"):
            (place.folder / name).mkdir(mode=0o777)
        main = "primary_hostname = app.example.com\nspool_directory = /mnt/spool\nlog_file_path = /mnt/log/%slog\n"
        main += f"keep_environment =\ndomainlist local_domains = app.example.com\nexim_path = {exim}\n"
        place.write("exim.conf", main + own)
        place.run(
            f"chown -R Debian-exim /mnt/spool /mnt/log\n"
            f"{exim} -C /mnt/exim.conf -odf -oi -f {SENDER} {RECIPIENT}\ncat /mnt/log/mainlog",
            stdin=MESSAGE,
        )

    assert_arrived(pair)


def test_sendmail_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers) -> None:
    needs_sasl_plain()
    program("m4", "m4")
    programs = unpacked("sendmail-bin") / "usr/libexec/sendmail"
    macros = unpacked("sendmail-cf") / "usr/share/sendmail/cf"
    own = settings("sendmail", "m4", pair, "127.0.0.1").replace("/etc/mail/", "/mnt/")
    around = "OSTYPE(`linux')dnl\ndefine(`QUEUE_DIR', `/mnt/queue')dnl\ndefine(`STATUS_FILE', `')dnl\n"
    around += "define(`ALIAS_FILE', `')dnl\ndefine(`confDONT_PROBE_INTERFACES', `True')dnl\n"
    with world(papers) as place:
        (place.folder / "queue").mkdir(mode=0o700)
        place.write("sendmail.mc", f"{around}{own}MAILER(`smtp')dnl\n")
        place.write("authinfo", settings("sendmail", "authinfo", pair, "127.0.0.1"), 0o600)
        place.write("access", settings("sendmail", "access", pair, "127.0.0.1"))
        said = place.run(
            f"cd /mnt\nm4 -D_CF_DIR_={macros}/ {macros}/m4/cf.m4 sendmail.mc > sendmail.cf\n"
            f"for map in authinfo access; do {programs}/makemap -C sendmail.cf hash $map.db < $map; done\n"
            f"{programs}/sendmail -C /mnt/sendmail.cf -odi -Am -v -f {SENDER} {RECIPIENT}",
            stdin=MESSAGE,
        )

    assert "Sent (Message queued as" in said
    assert_arrived(pair)


def test_opensmtpd_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers) -> None:
    opensmtpd = unpacked("opensmtpd")
    own = settings("OpenSMTPD", "opensmtpd", pair, "127.0.0.1").replace("/etc/mail/", "/mnt/")
    with world(papers) as place:
        place.write("smtpd.conf", f"listen on socket\n{own}")
        place.write("secrets", settings("OpenSMTPD", "secrets", pair, "127.0.0.1"), 0o640)
        place.write("message", MESSAGE.decode())
        # Its paths are built in.  The client is known by its name, and speaks to the daemon as one of its group.
        said = place.run(f"""
            mount -t tmpfs spool /var/spool; mkdir -m 711 /var/spool/smtpd
            mount -t tmpfs lib /var/lib; mkdir -p /var/lib/opensmtpd/empty
            mount -t tmpfs run /run
            mount --bind {opensmtpd}/usr/libexec /usr/libexec
            chgrp opensmtpd /mnt/secrets
            cp {opensmtpd}/usr/sbin/smtpctl /mnt/sendmail; chgrp opensmtpq /mnt/sendmail; chmod 2755 /mnt/sendmail
            {opensmtpd}/usr/sbin/smtpd -d -f /mnt/smtpd.conf > /mnt/log 2>&1 & daemon=$!
            for _ in $(seq 100); do [ -S /run/smtpd.sock ] && break; sleep 0.1; done
            /mnt/sendmail -f {SENDER} {RECIPIENT} < /mnt/message
            for _ in $(seq 100); do grep -q 'mta delivery' /mnt/log && break; sleep 0.1; done
            kill $daemon; wait $daemon || true
            cat /mnt/log
        """)

    assert 'server-cert-check result="success"' in said
    assert_arrived(pair)


def test_django_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers) -> None:
    if not (DJANGO / "django").is_dir():
        pytest.skip("Django is not installed (tests/integration/setup-system does it)")
    script = f"""
import django.conf
from django.core.mail import EmailMessage
{settings("Django", "python", pair)}
django.conf.settings.configure(**{{name: value for name, value in globals().items() if name.startswith("EMAIL_")}})
EmailMessage("Sample", "Hello.\\n", "News <{SENDER}>", ["{RECIPIENT}"], headers={{"X-MSYS-API": {API!r}}}).send()
"""
    run([sys.executable, "-c", script], env={"PYTHONPATH": str(DJANGO), "SSL_CERT_FILE": str(papers.authority)})

    assert_arrived(pair)


def test_rails_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers) -> None:
    ruby = program("ruby", "ruby, ruby-actionmailer")
    probe = run([ruby, "-e", 'begin; require "action_mailer"; puts 1; rescue LoadError; puts 0; end'])
    if probe.strip() != b"1":
        pytest.skip("ActionMailer is not installed (package ruby-actionmailer)")
    script = f"""
require "action_mailer"
config = Struct.new(:action_mailer).new(ActionMailer::Base)
{settings("Rails", "ruby", pair)}
class Sample < ActionMailer::Base
  def hello
    headers["X-MSYS-API"] = '{API}'
    mail(from: "News <{SENDER}>", to: "{RECIPIENT}", subject: "Sample", body: "Hello.")
  end
end
Sample.hello.deliver_now
"""
    run([ruby, "-W0", "-e", script], env={"SSL_CERT_FILE": str(papers.authority)})

    assert_arrived(pair)


def test_symfony_sends_with_the_settings_of_the_page_for_laravel(pair: Pair, papers: Papers) -> None:
    php = program("php", "php-cli")
    autoload = PHP / "Symfony/Component/Mailer/autoload.php"
    if not autoload.exists():
        pytest.skip("Symfony Mailer is not installed (package php-symfony-mailer)")
    # As Laravel's MailManager makes its transport of these settings.
    script = f"""
error_reporting(E_ALL & ~E_DEPRECATED);
require '{autoload}';
$env = parse_ini_string(<<<'END'
{settings("Laravel", "dotenv", pair)}
END);
$dsn = new Symfony\\Component\\Mailer\\Transport\\Dsn(
    $env['MAIL_MAILER'], $env['MAIL_HOST'], $env['MAIL_USERNAME'], $env['MAIL_PASSWORD'], (int) $env['MAIL_PORT']);
$transport = (new Symfony\\Component\\Mailer\\Transport\\Smtp\\EsmtpTransportFactory())->create($dsn);
$mail = (new Symfony\\Component\\Mime\\Email())->from('News <{SENDER}>')->to('{RECIPIENT}')->subject('Sample')
    ->text("Hello.\\n");
$mail->getHeaders()->addTextHeader('X-MSYS-API', '{API}');
$transport->send($mail);
"""
    run([php, "-r", script], env={"SSL_CERT_FILE": str(papers.authority)})

    assert_arrived(pair)


def test_phpmailer_sends_with_the_settings_of_the_page_for_wordpress(
    pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    php = program("php", "php-cli")
    if not (PHP / "libphp-phpmailer/autoload.php").exists():
        pytest.skip("PHPMailer is not installed (package libphp-phpmailer)")
    plugin = tmp_path / "plugin.php"
    plugin.write_text(
        settings("WordPress", "php", pair).replace("['campaign_id' => 'wordpress']", f"json_decode('{API}')")
    )
    # As WordPress calls what a plugin has hung in.
    script = f"""
require '{PHP}/libphp-phpmailer/autoload.php';
function add_action($where, $what) {{ $GLOBALS[$where] = $what; }}
require '{plugin}';
$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->setFrom('{SENDER}', 'News');
$mail->addAddress('{RECIPIENT}');
$mail->Subject = 'Sample';
$mail->Body = "Hello.\\n";
$GLOBALS['phpmailer_init']($mail);
$mail->send();
"""
    run([php, "-r", script], env={"SSL_CERT_FILE": str(papers.authority)})

    assert_arrived(pair)


def test_nodemailer_sends_with_the_settings_of_the_page(pair: Pair, papers: Papers) -> None:
    node = program("node", "nodejs")
    if not (NODE_MODULES / "nodemailer").is_dir():
        pytest.skip("nodemailer is not installed (tests/integration/setup-system installs it, with npm)")
    script = f"""
const nodemailer = require('nodemailer');
{settings("nodemailer", "javascript", pair)}
const message = {{ from: 'News <{SENDER}>', to: '{RECIPIENT}', subject: 'Sample', text: 'Hello.\\n',
  headers: {{ 'X-MSYS-API': {json.dumps(API)} }} }};
transport.sendMail(message).then(() => transport.close(), (error) => {{ console.error(error); process.exit(1); }});
"""
    trust = {"NODE_PATH": str(NODE_MODULES), "NODE_EXTRA_CA_CERTS": str(papers.authority)}
    run([node, "-e", script], env=trust)

    assert_arrived(pair)


def test_a_postfix_gives_each_message_a_second_time_to_the_shadow_and_nobody_hears_of_it(
    pair: Pair, tmp_path: Path
) -> None:
    moving = DOCS / "moving.md"
    main = block_under("3. Shadow", moving, "postfix").replace("2526", str(pair.bridge.port))
    # What goes to SparkPost in earnest is thrown away here.
    with postfix(f"default_transport = discard:\n{main}", block_under("3. Shadow", moving, "master")) as server:
        unreadable = MESSAGE.replace(API.encode(), b"{")
        for octets in (MESSAGE, unreadable):
            assert server.inject(session(octets)) == 1
        eventually(lambda: "SOFTBOUNCE" in server.log, f"a copy that is refused\n{server.log}")
        eventually(lambda: server.queue().count("queue_id") == 1, "the refused copy alone in the queue")

        assert "JSON parsing error in X-MSYS-API" in server.queue()
        assert server.log.count(f"to=<{RECIPIENT}>, relay=none") == 2
        assert "status=bounced" not in server.log
    copy = pair.sandbox.one_message()
    assert copy.rcpt_to == ("shadow@shadow.invalid",)
    assert copy.field("X-IB-Bulk-Id") == "recipe"
