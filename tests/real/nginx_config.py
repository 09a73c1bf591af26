"""nginx's configuration: files of known content, redirects, refusals, uploads and an echo, over http and https."""

from collections.abc import Mapping
from pathlib import Path
from string import Template

_ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")

_MAIN = Template("""\
$modules
daemon off;
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log info;
events {
  worker_connections 4096;
}
http {
  access_log $folder/access.log combined;
  client_body_temp_path $folder/temp-body;
  proxy_temp_path $folder/temp-proxy;
  fastcgi_temp_path $folder/temp-fastcgi;
  uwsgi_temp_path $folder/temp-uwsgi;
  scgi_temp_path $folder/temp-scgi;
  client_max_body_size 0;
  keepalive_requests 1000000;
  large_client_header_buffers 8 64k;
  sendfile on;
  tcp_nodelay on;
  server_tokens off;
  absolute_redirect off;
  default_type application/octet-stream;
  types {
    text/plain txt;
    text/html html;
    application/json json;
  }
  gzip on;
  gzip_min_length 1;
  gzip_types text/plain application/json;

  server {
    listen 127.0.0.1:$http;
    listen 127.0.0.1:$https ssl;
    server_name localhost;
    ssl_certificate $folder/server.pem;
    ssl_certificate_key $folder/server.key;
    ssl_session_cache shared:sessions:1m;
    root $folder/site;

    # GET with Range and If-None-Match; PUT and DELETE
    location /files/ { }
    location /slow/ {
      alias $folder/site/files/;
      limit_rate 65536;
    }
    location /upload/ {
      dav_methods PUT DELETE;
      create_full_put_path on;
    }
    location /private/ {
      alias $folder/site/files/;
      auth_basic "private";
      auth_basic_user_file $folder/passwords;
    }

    location = /redirect/301 { return 301 /seen; }
    location = /redirect/302 { return 302 /seen; }
    location = /redirect/303 { return 303 /seen; }
    location = /redirect/307 { return 307 $echo_or_seen; }
    location = /redirect/308 { return 308 $echo_or_seen; }
    location = /redirect/loop { return 302 /redirect/loop; }
    location = /redirect/http { return 307 http://127.0.0.1:$http/seen; }
    location = /redirect/https { return 307 https://127.0.0.1:$https/seen; }
    location = /redirect/host { return 307 http://localhost:$http/seen; }
    location = /redirect/ftp { return 302 ftp://127.0.0.1/; }

    location = /status/204 { return 204; }
    location = /status/401 { add_header WWW-Authenticate 'Bearer realm="nginx"' always; return 401 "no\\n"; }
    location = /status/403 { return 403 "no\\n"; }
    location = /status/404 { return 404 "no\\n"; }
    location = /status/410 { return 410 "no\\n"; }
    location = /status/429 { add_header Retry-After 1 always; return 429 "later\\n"; }
    location = /status/500 { return 500 "broken\\n"; }
    location = /status/502 { return 502 "broken\\n"; }
    location = /status/503 { add_header Retry-After 1 always; return 503 "later\\n"; }
    location = /status/504 { return 504 "late\\n"; }

    # What the server saw, one field a line
    location = /seen {
      default_type text/plain;
      return 200 "method=$$request_method
scheme=$$scheme
host=$$http_host
query=$$args
user-agent=$$http_user_agent
authorization=$$http_authorization
cookie=$$http_cookie
content-type=$$http_content_type
content-length=$$http_content_length
accept-encoding=$$http_accept_encoding
referer=$$http_referer
x-test=$$http_x_test
";
    }
    location = /cookie {
      add_header Set-Cookie "first=1; Path=/";
      add_header Set-Cookie "second=2; Path=/; HttpOnly";
      return 302 /seen;
    }
$echo
  }
}
""")

_ECHO = """\
    # The body as it came, its type in X-Content-Type
    location = /echo {
      gzip off;
      add_header X-Method $request_method;
      add_header X-Content-Type $content_type;
      client_body_buffer_size 1m;
      echo_read_request_body;
      echo_request_body;
    }
"""


def write(folder: Path, ports: Mapping[str, int]) -> bool:
    """Write nginx.conf, and what it names, into `folder`; whether this nginx has the echo module.

    Args:
        folder: where everything is.
        ports: http and https.
    """
    echo = _ECHO_MODULE.exists()
    values = {
        "modules": f"load_module {_ECHO_MODULE};" if echo else "",
        "echo": _ECHO if echo else "",
        "echo_or_seen": "/echo" if echo else "/seen",
    }
    for name in ("site/files", "site/upload"):
        (folder / name).mkdir(parents=True)
    (folder / "passwords").write_text("alice:{PLAIN}secret of alice\n")
    (folder / "nginx.conf").write_text(_MAIN.substitute(values, folder=folder, **ports))
    return echo
