#!/bin/sh
# Write the folders library-* anew.  README.md says what has to be where below FOLDER, the only argument.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
stuff=$(cd "$1" && pwd)
wishes=$here/wishes.json

record() { # record FOLDER LIBRARY VERSION CALL COMMAND...
    folder=$here/../library-$1 library=$2 version=$3 call=$4
    shift 4
    "$root/.venv/bin/python" "$here/record.py" "$folder" "$library" "$version" "$call" -- "$@"
}

for folder in "$stuff"/node/node_modules/nm*; do
    [ -e "$folder" ] || continue
    version=$(node -p "require('$folder/package.json').version")
    record "nodemailer-$version" nodemailer "$version" 'sendMail({headers: {"X-MSYS-API": JSON.stringify(…)}})' \
        node "$here/nodemailer.js" "$folder" "$wishes"
done

for folder in "$stuff"/php/v*; do
    [ -e "$folder" ] || continue
    version=${folder##*/v}
    record "phpmailer-$version" PHPMailer "$version" 'addCustomHeader("X-MSYS-API", json_encode(…))' \
        php "$here/phpmailer.php" "$folder" "$wishes"
done
record phpmailer-6.6.3 PHPMailer '6.6.3 (Debian 6.6.3-1)' 'addCustomHeader("X-MSYS-API", json_encode(…))' \
    php "$here/phpmailer.php" /usr/share/php/libphp-phpmailer "$wishes"
record symfony-mime-5.4.53 'Symfony Mime and Mailer' '5.4.53 (Debian 5.4.53+dfsg-0+deb12u1)' \
    'getHeaders()->addTextHeader("X-MSYS-API", json_encode(…))' \
    php "$here/symfony.php" /usr/share/php/Symfony/Component/Mailer/autoload.php "$wishes"
for folder in "$stuff"/symfony/*; do
    [ -e "$folder" ] || continue
    version=${folder##*/}
    record "symfony-mime-$version" 'Symfony Mime' "$version, under Mailer 5.4.53" \
        'getHeaders()->addTextHeader("X-MSYS-API", json_encode(…))' \
        php "$here/symfony.php" /usr/share/php/Symfony/Component/Mailer/autoload.php "$wishes" "$folder"
done
record swiftmailer-6.3.0 'Swift Mailer' '6.3.0 (Debian 6.3.0-3)' \
    'getHeaders()->addTextHeader("X-MSYS-API", json_encode(…))' \
    php "$here/swiftmailer.php" /usr/share/php/Swift/autoload.php "$wishes"

record ruby-mail-2.7.1 'Ruby mail' '2.7.1 (Debian 2.7.1+dfsg1-2), Ruby 3.1' 'mail.header["X-MSYS-API"] = ….to_json' \
    ruby "$here/ruby_mail.rb" "$wishes"
for folder in "$stuff"/ruby/mail-*; do
    [ -e "$folder" ] || continue
    version=${folder##*/mail-}
    record "ruby-mail-$version" 'Ruby mail' "$version, Ruby 3.1" 'mail.header["X-MSYS-API"] = ….to_json' \
        ruby -I "$folder/lib" "$here/ruby_mail.rb" "$wishes"
done

record perl-mime-lite-3.033 'MIME::Lite and JSON' '3.033 (Debian 3.033-1), JSON 4.10' \
    'add("X-MSYS-API" => JSON->new->ascii->encode(…))' perl "$here/mime_lite.pl" "$wishes"

for python in "$stuff"/python/*; do
    [ -e "$python" ] || continue
    version=${python##*/}
    record "python-legacy-$version" 'Python email, MIMEText' "$version" 'mail["X-MSYS-API"] = json.dumps(…)' \
        "$python" "$here/python_email.py" legacy "$wishes"
    case $version in 2.*) continue ;; esac
    record "python-modern-$version" 'Python email, EmailMessage' "$version" 'mail["X-MSYS-API"] = json.dumps(…)' \
        "$python" "$here/python_email.py" modern "$wishes"
done
for folder in "$stuff"/django/[0-9]*; do
    [ -e "$folder" ] || continue
    version=${folder##*/}
    record "django-$version" 'Django' "$version, Python 3.12" 'EmailMessage(headers={"X-MSYS-API": json.dumps(…)})' \
        env PYTHONPATH="$folder" "$stuff"/django/python "$here/django_mail.py" "$wishes"
done

jars=/usr/share/java
record javamail-1.6.5 JavaMail '1.6.5 (Debian 1.6.5-2), Gson 2.10, Java 17' \
    'setHeader("X-MSYS-API", MimeUtility.fold(12, MimeUtility.encodeText(json, "UTF-8", null)))' \
    java -cp "$jars/javax.mail.jar:$jars/javax.activation.jar:$jars/gson.jar" "$here/JavaMail.java" "$wishes"
mkdir -p "$stuff/jakarta"
sed 's/javax\.mail/jakarta.mail/g' "$here/JavaMail.java" >"$stuff/jakarta/JavaMail.java"
record jakarta-mail-2.0.0 'Jakarta Mail' '2.0.0 (Debian 2.0.0-2), Gson 2.10, Java 17' \
    'setHeader("X-MSYS-API", MimeUtility.fold(12, MimeUtility.encodeText(json, "UTF-8", null)))' \
    java -cp "$jars/jakarta-mail.jar:$jars/jakarta-activation.jar:$jars/gson.jar" \
    "$stuff/jakarta/JavaMail.java" "$wishes"
