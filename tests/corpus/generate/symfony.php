<?php
// php symfony.php AUTOLOAD.PHP WISHES.JSON [FOLDER-OF-MIME], with $SINK_PORT set by record.py.
[, $autoload, $wishes] = $argv;
$mime = $argv[3] ?? null;
if ($mime !== null) {
    // Another version of Mime under the Mailer that the autoload file knows.
    spl_autoload_register(function (string $class) use ($mime): void {
        $prefix = 'Symfony\\Component\\Mime\\';
        $file = $mime . '/' . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php';
        if (str_starts_with($class, $prefix) && is_file($file)) {
            require $file;
        }
    });
}
require $autoload;

use Symfony\Component\Mailer\Transport\Smtp\EsmtpTransport;
use Symfony\Component\Mime\Email;

$transport = new EsmtpTransport('127.0.0.1', (int) getenv('SINK_PORT'), false);
$transport->setLocalDomain('app.example');

function send(string $name, string $json): void
{
    global $transport;
    $mail = (new Email())->from('News <news@sender.example>')->to("$name@case.example")->subject('Corpus')
        ->text("Hello.\n")->date(new DateTimeImmutable('2026-11-20 06:00:00 +0000'));
    $mail->getHeaders()->addIdHeader('Message-ID', "$name@sender.example");
    $mail->getHeaders()->addTextHeader('X-MSYS-API', $json);
    $transport->send($mail);
}

foreach (json_decode(file_get_contents($wishes), true) as $name => $wish) {
    send($name, json_encode($wish));
    if (preg_match('/[^\x00-\x7f]/', json_encode($wish, JSON_UNESCAPED_UNICODE))) {
        send("$name-unescaped", json_encode($wish, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES));
    }
}
