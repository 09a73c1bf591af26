"""The figures as an SVG picture for the README: small charts, in the colours that the reader's screen prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.core import memory, receiving
from benchmarks.core.bench import Column, Figures
from benchmarks.core.counts import INSTRUCTIONS, SYSCALLS
from benchmarks.core.exchanges import CHURN, LARGE, MANY, ONE, TLS
from benchmarks.core.kinds import KINDS

_ACROSS = 3
_WIDTH, _BAR, _STEP, _TOP, _BOTTOM = 330, 11, 17, 52, 18
_LABELS, _VALUES, _MARGIN = 122, 44, 16

_STYLE = """
text { font: 11px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a; }
.title { font-size: 13px; font-weight: 600; fill: #1f2328; }
.head { font-size: 16px; font-weight: 600; fill: #1f2328; }
.ground { fill: #ffffff; } .axis { stroke: #d0d7de; }
.bar { fill: #afb8c1; } .limit { fill: #d8dee4; } .ours { fill: #0969da; }
.mine { fill: #1f2328; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1; } .title, .head, .mine { fill: #f0f6fc; }
  .ground { fill: #0d1117; } .axis { stroke: #3d444d; }
  .bar { fill: #656c76; } .limit { fill: #3d444d; } .ours { fill: #4493f8; }
}
"""

_SHORT = {
    "c": "C, epoll",
    "protocol": "Protocol",
    "streams": "asyncio streams",
    "protocol+uvloop": "Protocol, uvloop",
    "streams+uvloop": "streams, uvloop",
}
_RECEIVERS = {
    "c": "C",
    "protocol:buffered": "BufferedProtocol",
    "asyncnet:read": "asyncnet",
    "streams:read": "asyncio streams",
    "anyio:receive": "anyio",
    "trio:receive_some": "trio",
    "twisted:dataReceived": "Twisted",
    "tornado:read_into": "Tornado",
    "protocol+uvloop:buffered": "Buffered, uvloop",
    "asyncnet+uvloop:read": "asyncnet, uvloop",
    "streams+uvloop:read": "streams, uvloop",
}
_TITLES = {
    "1x64": "1 connection × 64 B, CPU µs",
    "50x64": "50 connections × 64 B, CPU µs",
    "50x64k": "50 connections × 64 KiB, CPU µs",
    "churn": "connect, exchange, close, CPU µs",
    "tls": "TLS, 50 connections × 1 KiB, CPU µs",
    "idle": "idle connection, KiB",
    "syscalls": "system calls a message",
    "instructions": "1,000 instructions a message, 1 × 64 B",
    "receive": "receiving 1 GiB, CPU ns a KiB",
}
_ORDER = (
    MANY.column,
    LARGE.column,
    receiving.COST,
    ONE.column,
    CHURN.column,
    TLS.column,
    memory.IDLE,
    SYSCALLS,
    INSTRUCTIONS,
)


class Bar(NamedTuple):
    """One bar: who, how much."""

    row: str
    label: str
    value: float


def picture(figures: Figures, facts: Mapping[str, str]) -> str:
    """Draw all columns that were measured; no bars, no chart."""
    charts = [(column, bars) for column in _ORDER if (bars := _bars(figures, column))]
    deepest = max((len(bars) for _, bars in charts), default=0)
    cell = _TOP + deepest * _STEP + _BOTTOM
    across = min(_ACROSS, max(1, len(charts)))
    width, height = across * _WIDTH + _MARGIN, -(-len(charts) // across) * cell + 76
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="What asyncnet and its peers cost">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>',
        f'<text class="head" x="{_MARGIN}" y="30">What it costs: shorter is better</text>',
    ]
    for number, (column, bars) in enumerate(charts):
        x, y = _MARGIN + number % across * _WIDTH, 34 + number // across * cell
        parts += _chart(x, y, _TITLES[column.name], bars)
    busy = ["taken on a busy machine"] if facts.get("noise", "").startswith("a busy machine") else []
    note = "; ".join([facts["machine"], facts["python"].partition(",")[0], facts["date"][:10], "medians", *busy])
    parts += [f'<text x="{_MARGIN}" y="{height - 14}">{escape(note)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _bars(figures: Figures, column: Column) -> list[Bar]:
    labels = _RECEIVERS if column == receiving.COST else {kind: _SHORT.get(kind, KINDS[kind]) for kind in KINDS}
    found = ((row, label, figures.median(column.name, row)) for row, label in labels.items())
    return [Bar(row, label, value) for row, label, value in found if value is not None]


def _chart(x: int, y: int, title: str, bars: Sequence[Bar]) -> list[str]:
    left, room = x + _LABELS, _WIDTH - _LABELS - _VALUES - _MARGIN
    most = max(bar.value for bar in bars) or 1.0
    parts = [f'<text class="title" x="{x}" y="{y + 34}">{escape(title)}</text>']
    for number, bar in enumerate(bars):
        top = y + _TOP - 4 + number * _STEP
        ours = bar.row.startswith("asyncnet")
        kind = "ours" if ours else "limit" if bar.row == "c" else "bar"
        words = ' class="mine"' if ours else ""
        length = max(1.0, max(0.0, bar.value) / most * room)
        parts += [
            f'<text{words} x="{left - 6}" y="{top + 9}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{kind}" x="{left}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
            f'<text{words} x="{left + length + 4:.1f}" y="{top + 9}">{_value(bar.value)}</text>',
        ]
    bottom = y + _TOP - 6 + len(bars) * _STEP
    parts.append(f'<line class="axis" x1="{left}" y1="{y + _TOP - 8}" x2="{left}" y2="{bottom}"/>')
    return parts


def _value(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
