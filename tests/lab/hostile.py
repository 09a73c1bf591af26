"""A mail that tries everything on whoever shows it: script, handlers, remote loads, disguise."""

PIXEL = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A dot, as PNG in base64."""

HTML = b"""<h2 style="color:#0a5">Your invoice</h2><script>top.location='http://evil.example/s'</script>
<p onclick="alert(1)">Hello <b>me</b>, <a href="javascript:alert(1)">click</a>,
<a href=" JaVaScRiPt:alert(1)">click</a>,
<a href="data:text/html,<script>alert(1)</script>">click</a>
or <a href="http://evil.example/l">here</a>.</p>
<img src="http://evil.example/pixel.png" onerror="alert(2)" alt="remote"><img src="//evil.example/p.png">
<img src="cid:pic" alt="own" width=40 height=40><img src="x" onerror=alert(2)>
<div style="background:url(http://evil.example/bg.png);color:red">background</div>
<div style="background-color:u\\72l(http://evil.example/bg2.png)">escaped</div>
<style>@import url(http://evil.example/x.css); body{background:url(//evil.example/y)}</style>
<link rel=stylesheet href="http://evil.example/z.css">
<form action="http://evil.example/f"><input name=a autofocus onfocus=alert(5)><button>go</button></form>
<iframe src="http://evil.example/i" srcdoc="<script>alert(6)</script>"></iframe><object data="http://evil.example/o"></object>
<video src="http://evil.example/v" poster="http://evil.example/vp"></video><img srcset="http://evil.example/ss 1x">
<table border=1 cellpadding=6 background="http://evil.example/tb"><tr><th>Item</th></tr><tr><td>Widget</td></tr></table>
<svg onload="alert(3)"><a xlink:href="javascript:alert(4)">x</a><image href="http://evil.example/si"/></svg>
<math><mtext></form><form><mglyph><style></math><img src onerror=alert(7)>
<meta http-equiv=refresh content="0;url=http://evil.example/r"><base href="http://evil.example/">
"""

HOSTILE = (
    b"From: =?utf-8?q?Mallory_=E2=80=AEgro.live?= <mallory@evil.example>\r\nTo: me@example.org\r\n"
    b"Subject: <script>document.title='owned'</script><img src=x onerror=alert(8)> \xe2\x80\xaetxt.exe \x1b[31m "
    + b"A" * 3000
    + b"\r\nX-Giant: "
    + b"B" * 50_000
    + b"\r\n</title><script>alert(9)</script>: x\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n"
    b"--y\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nPlain \x00\x07 \xe2\x80\xaedesrever <b>tags</b>.\r\n"
    b"--y\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + HTML + b"\r\n--y--\r\n"
    b"--x\r\nContent-Type: image/png\r\nContent-ID: <pic>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + PIXEL
    + b"\r\n"
    b"--x\r\nContent-Type: text/html\r\nContent-Disposition: attachment;"
    b" filename*=utf-8''..%2F..%5Cin%E2%80%AEvoice.html\r\n\r\n"
    b"<script>alert(1)</script>\r\n--x--\r\n"
)
