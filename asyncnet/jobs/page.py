"""page: the report's HTML. Pure.

The page is one file: style and script stand in it, and its policy lets nothing run or load but these two, by their
hashes. All that comes from outside is data, which the script puts on the page as text alone.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def page(data: dict[str, Any]) -> str:
    """Give the page that shows the data of `Report.data()`."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    # "<" ends no element of script where there is none.
    values = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = html.escape(str(data["title"]))
    failed = f"{data['failed']:,} failed, {data['retries']:,} retries"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="page"><h1>{title}</h1><p>{data["done"]:,} done, {failed} in {data["seconds"]:.1f} s.</p></main>
<script type="application/json" id="data">{values}</script>
<script>{script}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
