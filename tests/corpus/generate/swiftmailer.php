<?php
// php swiftmailer.php AUTOLOAD.PHP WISHES.JSON, with $SINK_PORT set by record.py.
[, $autoload, $wishes] = $argv;
error_reporting(E_ALL & ~E_DEPRECATED);
require $autoload;

$transport = new Swift_SmtpTransport('127.0.0.1', (int) getenv('SINK_PORT'));
$transport->setLocalDomain('app.example');

function send(string $name, string $json): void
{
    global $transport;
    $mail = new Swift_Message('Corpus', "Hello.\n");
    $mail->setFrom('news@sender.example', 'News')->setTo("$name@case.example")->setId("$name@sender.example");
    $mail->setDate(new DateTimeImmutable('2026-11-20 06:00:00 +0000'));
    $mail->getHeaders()->addTextHeader('X-MSYS-API', $json);
    (new Swift_Mailer($transport))->send($mail);
}

foreach (json_decode(file_get_contents($wishes), true) as $name => $wish) {
    send($name, json_encode($wish));
    if (preg_match('/[^\x00-\x7f]/', json_encode($wish, JSON_UNESCAPED_UNICODE))) {
        send("$name-unescaped", json_encode($wish, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES));
    }
}
