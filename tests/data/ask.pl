# Asks for pages by LWP, as ldirectord does: a line each, of a method, a URL and an expression in
# hexadecimal digits. Answers "up" or "down" and the status, a line each.
use strict; use warnings; use LWP::UserAgent;

$| = 1;
while (my $line = <STDIN>) {
    my ($method, $url, $digits) = split /\s+/, $line;
    my $receive = pack("H*", $digits // "");
    my $agent = LWP::UserAgent->new(timeout => 5, ssl_opts => {verify_hostname => 0, SSL_verify_mode => 0});
    my $answer = $agent->request(HTTP::Request->new($method, $url, [Host => "127.0.0.1"]));
    my $passes = $answer->is_success && ($receive eq "" || $answer->content =~ /$receive/);
    print $passes ? "up" : "down", " ", $answer->code, "\n";
}
