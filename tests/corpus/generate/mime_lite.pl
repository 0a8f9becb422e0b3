# perl mime_lite.pl WISHES.JSON, with $SINK_PORT set by record.py.
use strict;
use warnings;
use Encode qw(encode);
use JSON ();
use MIME::Lite;

sub send_mail {
    my ($name, $value) = @_;
    my $mail = MIME::Lite->new(
        From => 'News <news@sender.example>', To => "$name\@case.example", Subject => 'Corpus',
        Date => 'Fri, 20 Nov 2026 06:00:00 +0000', 'Message-ID' => "<$name\@sender.example>", Data => "Hello.\n",
    );
    $mail->add('X-MSYS-API' => $value);
    $mail->send('smtp', '127.0.0.1', Port => $ENV{SINK_PORT}, Hello => 'app.example');
}

# SparkPost's manual lets a caller break the JSON at the blanks that space_before and space_after leave.
sub folded {
    my ($json) = @_;
    $json =~ s/(.{1,72}) (?=\S)/$1\n   /g;
    return $json;
}

open(my $file, '<:raw', $ARGV[0]) or die $!;
my $wishes = JSON->new->utf8->decode(do { local $/; <$file> });
my $writer = JSON->new->canonical;
for my $name (sort keys %$wishes) {
    my $wish = $wishes->{$name};
    send_mail($name, $writer->ascii->encode($wish));
    next if $name eq 'tight' or $name eq 'ascii-short';
    send_mail("$name-folded", folded($writer->ascii->space_before->space_after->encode($wish)));
    $writer->space_before(0)->space_after(0);
    next if $name eq 'ascii-long';
    send_mail("$name-unescaped", encode('UTF-8', $writer->ascii(0)->encode($wish)));
    send_mail("$name-encode-b", encode('MIME-Header', $writer->encode($wish)));
    send_mail("$name-encode-q", encode('MIME-Q', $writer->encode($wish)));
}
