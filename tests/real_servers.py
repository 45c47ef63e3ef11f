"""One function for each server of other people's making: it writes its files and starts it.

What is not installed is a reason to skip. Servers from PyPI come with the test extra, the others
with `.ci/packages`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import privileges
import pytest
from places import ADDRESSES, NAME, Place, bracketed, free_port, program

LOGIN, PASSWORD, SECRET = "checker", "open sésame, пароль", "shared-sécret"


def start_dns(place: Place) -> None:
    lines = (
        "example.test. 60 IN A 192.0.2.7",
        "example.test. 60 IN AAAA 2001:db8::7",
        "example.test. 60 IN MX 10 mail.example.test.",
        'example.test. 60 IN TXT "two words"',
        "7.2.0.192.in-addr.arpa. 60 IN PTR example.test.",
    )
    zone = place.write("zone", "\n".join(lines) + "\n")
    for address in ADDRESSES:
        common = ["--zone", zone, "--port", str(place.port), "--address", address]
        # One with --tcp answers over UDP too.
        place.run([sys.executable, "-m", "dnslib.zoneresolver", *common, "--tcp"])


_QUICK_FTP = """
from pyftpdlib import __main__, handlers
handlers.FTPHandler.auth_failed_timeout = 0
__main__.main()
"""


def start_ftp(place: Place) -> None:
    place.write("alive.txt", "alive and well\n")
    for address in ADDRESSES:
        command = [sys.executable, "-c", _QUICK_FTP, "-i", address, "-p", str(place.port)]
        place.run([*command, "-d", place.folder, "-u", LOGIN, "-P", PASSWORD])


_NEWS = """
import socket, socketserver, sys
from nntpserver import NNTPConnectionHandler, NNTPServer

class Server(NNTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    groups = articles = {}
    article = refresh = None

Server((sys.argv[1], int(sys.argv[2])), NNTPConnectionHandler).serve_forever()
"""


def start_nntp(place: Place) -> None:
    script = place.write("news.py", _NEWS)
    for address in ADDRESSES:
        place.run([sys.executable, script, address, str(place.port)])


_SIP = """\
<?xml version="1.0" encoding="us-ascii"?>
<scenario name="answers OPTIONS">
  <recv request="OPTIONS" crlf="true"/>
  <send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"""


def start_sip(place: Place, transport: str) -> None:
    """SIPp: `transport` is u1 or t1, as it names them."""
    scenario = place.write("scenario.xml", _SIP)
    for address in ADDRESSES:
        command = ["sipp", "-sf", scenario, "-i", bracketed(address), "-p", str(place.port)]
        place.run([*command, "-t", transport, "-nostdin"])


def start_http(place: Place) -> None:
    """In the clear at one port and over TLS at the other."""
    chain, key = place.certificate()
    place.write("alive.txt", "alive and well\n")
    listen = [f"listen {bracketed(address)}:{place.port};" for address in ADDRESSES]
    listen += [f"listen {bracketed(address)}:{place.tls_port} ssl;" for address in ADDRESSES]
    folder = place.folder
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n  ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    # As user 0 it would become nobody, who may be unknown in our namespace.
    user = "user root;" if os.geteuid() == 0 else ""
    conf = f"""\
{user}
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{
}}
http {{
  access_log off;
  {temporary}
  server {{
    {" ".join(listen)}
    ssl_certificate {chain};
    ssl_certificate_key {key};
    root {folder};
  }}
}}
"""
    place.run(["nginx", "-p", folder, "-e", "stderr", "-c", place.write("nginx.conf", conf)])


def start_smtp(place: Place) -> None:
    for address in ADDRESSES:
        where = f"{address}:{place.port}"
        place.run([sys.executable, "-m", "aiosmtpd", "-n", "-l", where])


def start_http_proxy(place: Place) -> None:
    """In front of nginx, which is behind it under a name that only it knows."""
    start_http(place)
    port, place.port = place.port, free_port()
    lines = (
        f"Port {place.port}",
        *(f"Listen {address}" for address in ADDRESSES),
        f'Upstream http 127.0.0.1:{port} "{NAME}"',
    )
    place.run(["tinyproxy", "-d", "-c", place.write("conf", "\n".join(lines) + "\n")])


def start_ldap(place: Place) -> None:
    chain, key = place.certificate()
    lines = (
        f"TLSCertificateFile {chain}",
        f"TLSCertificateKeyFile {key}",
        "database config",
        f'rootpw "{PASSWORD}"',
    )
    conf = place.write("slapd.conf", "\n".join(lines) + "\n")
    urls = [f"ldap://{bracketed(address)}:{place.port}" for address in ADDRESSES]
    urls += [f"ldaps://{bracketed(address)}:{place.tls_port}" for address in ADDRESSES]
    place.run(["slapd", "-f", conf, "-h", " ".join(urls), "-d", "0"])


def start_mail(place: Place, protocol: str) -> None:
    """Dovecot, which must be root to become its own users; `protocol` is imap or pop3."""
    if not privileges.may_become_others():
        pytest.skip("dovecot needs root")
    chain, key = place.certificate()
    users = place.write("users", f"{LOGIN}:{{PLAIN}}{PASSWORD}::::::\n")
    users.chmod(0o644)
    text = f"""\
base_dir = {place.folder}/run
log_path = /dev/stderr
protocols = {protocol}
listen = {", ".join(ADDRESSES)}
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = mbox:{place.folder}/mail
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={place.folder}/mail
}}
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service {protocol}-login {{
  inet_listener {protocol} {{
    port = {place.port}
  }}
  inet_listener {protocol}s {{
    port = {place.tls_port}
  }}
}}
"""
    mail = place.folder / "mail"
    mail.mkdir()
    mail.chmod(0o777)
    place.run(["dovecot", "-F", "-c", place.write("dovecot.conf", text)])


def start_mysql(place: Place) -> None:
    user = "root" if os.geteuid() == 0 else ""
    as_user = [f"--user={user}"] if user else []
    data = f"--datadir={place.folder}/data"
    install = [program("mariadb-install-db"), "--no-defaults", data, "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal", *as_user]
    subprocess.run(install, check=True, capture_output=True, timeout=60)
    statements = (
        "SET NAMES utf8mb4;",
        "CREATE DATABASE shop;",
        "CREATE TABLE shop.empty (n INT);",
        f"CREATE USER {LOGIN} IDENTIFIED BY '{PASSWORD}';",
        f"GRANT ALL ON shop.* TO {LOGIN};",
    )
    setup = place.write("setup.sql", "\n".join(statements) + "\n")
    place.run(
        [
            *("mariadbd", "--no-defaults", *as_user, data, f"--init-file={setup}"),
            *(f"--port={place.port}", f"--bind-address={','.join(ADDRESSES)}"),
            *(f"--socket={place.folder}/socket", "--innodb-flush-method=nosync"),
        ]
    )


def start_pgsql(place: Place) -> None:
    """PostgreSQL will not run as root."""
    program("initdb")
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        if not privileges.may_become_others():
            pytest.skip(
                "PostgreSQL does not run as root, and nobody else is known in this namespace"
            )
        shutil.chown(place.folder, user)
    password = place.write("password", PASSWORD)
    password.chmod(0o644)
    make = [program("initdb"), "-N", "-D", f"{place.folder}/data", "-U", LOGIN]
    make += ["-A", "scram-sha-256", f"--pwfile={password}"]
    subprocess.run(make, check=True, capture_output=True, timeout=60, user=user, cwd=place.folder)
    where = f"listen_addresses={','.join(ADDRESSES)}"
    command = ["postgres", "-D", place.folder / "data", "-F", "-p", str(place.port)]
    place.run([*command, "-k", place.folder, "-c", where], user=user)


def start_pgbouncer(place: Place) -> None:
    """In front of PostgreSQL: a server connection is another client's after each transaction."""
    start_pgsql(place)
    port, place.port = place.port, free_port()
    user = "postgres" if os.geteuid() == 0 else None
    users = place.write("users.txt", f'"{LOGIN}" "{PASSWORD}"\n')
    lines = (
        "[databases]",
        f"postgres = host=127.0.0.1 port={port} pool_size=1",
        "[pgbouncer]",
        f"listen_addr = {','.join(ADDRESSES)}",
        f"listen_port = {place.port}",
        "pool_mode = transaction",
        "auth_type = scram-sha-256",
        f"auth_file = {users}",
        "unix_socket_dir =",
    )
    for path in (users, conf := place.write("pgbouncer.ini", "\n".join(lines) + "\n")):
        path.chmod(0o644)
    place.run(["pgbouncer", conf], user=user)


def start_radius(place: Place) -> None:
    listen = "\n".join(
        f"  listen {{\n    type = auth\n    {key} = {address}\n    port = {place.port}\n  }}"
        for key, address in (("ipaddr", "127.0.0.1"), ("ipv6addr", "::1"))
    )
    place.write(
        "radiusd.conf",
        f"""\
run_dir = {place.folder}
libdir = /usr/lib/freeradius
modules {{
  pap {{
  }}
}}
client four {{
  ipaddr = 127.0.0.1
  secret = "{SECRET}"
}}
client six {{
  ipv6addr = ::1
  secret = "{SECRET}"
}}
server default {{
{listen}
  authorize {{
    if (&User-Name == "{LOGIN}") {{
      update control {{
        Cleartext-Password := "{PASSWORD}"
      }}
    }}
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
  }}
}}
""",
    )
    place.run(["freeradius", "-f", "-d", place.folder, "-l", "stdout"])
