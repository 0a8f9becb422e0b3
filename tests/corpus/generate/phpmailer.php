<?php
// php phpmailer.php FOLDER-OF-PHPMAILER WISHES.JSON, with $SINK_PORT set by record.py.
[, $folder, $wishes] = $argv;
error_reporting(E_ALL & ~E_DEPRECATED);
$sources = is_dir("$folder/src") ? "$folder/src" : $folder;
foreach (['Exception', 'PHPMailer', 'SMTP'] as $class) {
    foreach (["$sources/$class.php", "$sources/class." . strtolower($class) . '.php'] as $file) {
        if (is_file($file)) {
            require_once $file;
        }
    }
}
$mailer = class_exists('PHPMailer\PHPMailer\PHPMailer') ? 'PHPMailer\PHPMailer\PHPMailer' : 'PHPMailer';

function send(string $name, string $json): void
{
    global $mailer;
    $mail = new $mailer(true);
    $mail->isSMTP();
    $mail->Host = '127.0.0.1';
    $mail->Port = (int) getenv('SINK_PORT');
    $mail->SMTPAutoTLS = false;
    $mail->CharSet = 'utf-8';
    $mail->Hostname = $mail->Helo = 'app.example';
    $mail->MessageDate = 'Fri, 20 Nov 2026 06:00:00 +0000';
    $mail->MessageID = "<$name@sender.example>";
    $mail->setFrom('news@sender.example', 'News');
    $mail->addAddress("$name@case.example");
    $mail->Subject = 'Corpus';
    $mail->Body = "Hello.\n";
    $mail->addCustomHeader('X-MSYS-API', $json);
    $mail->send();
}

foreach (json_decode(file_get_contents($wishes), true) as $name => $wish) {
    send($name, json_encode($wish));
    if (preg_match('/[^\x00-\x7f]/', json_encode($wish, JSON_UNESCAPED_UNICODE))) {
        send("$name-unescaped", json_encode($wish, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES));
    }
}
