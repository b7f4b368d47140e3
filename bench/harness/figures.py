"""Figures of several peers that took turns, compared with those of the module."""

import statistics

BASE, AGAIN = "module", "again"


def quartiles(values: list[float]) -> list[float]:
    """The first and the last quartile; for a single value, that value twice."""
    if len(values) < 2:
        return [values[0], values[0]]
    quarters = statistics.quantiles(values, n=4, method="inclusive")
    return [quarters[0], quarters[-1]]


def figure(
    unit: str, values: dict[str, list[float]], better: str | None = "less"
) -> dict:
    """The medians of each peer with the ratio to the module, turn by turn, and its quartiles.

    `better` is whether less or more is better, or that neither is; then ratios have no meaning.
    """
    peers = {}
    for name, of_peer in values.items():
        peers[name] = {"median": statistics.median(of_peer), "values": of_peer}
        base = values.get(BASE, [])
        if better and name != BASE and len(base) == len(of_peer) and all(base):
            ratios = [one / other for one, other in zip(of_peer, base)]
            peers[name] |= {"ratio": statistics.median(ratios), "spread": quartiles(ratios)}
    noise = band(values) if better else None
    return {"unit": unit, "better": better, "peers": peers, "band": noise}


def band(values: dict[str, list[float]]) -> list[float] | None:
    """The A/A band: the 10th to the 90th percentile of the ratio of the module to itself. The
    direction of the division is arbitrary, so both ratios of each pair are used."""
    pairs = [
        (one, other) for one, other in zip(values.get(AGAIN, []), values.get(BASE, []))
        if one and other
    ]
    if not pairs:
        return None
    ratios = [one / other for one, other in pairs] + [other / one for one, other in pairs]
    tenths = statistics.quantiles(ratios, n=10, method="inclusive")
    return [tenths[0], tenths[-1]]


def ahead(result: dict) -> list[str]:
    """The peers that are better than the module by more than the A/A band."""
    peers = result["peers"]
    low, high = result["band"] or (1.0, 1.0)
    found = []
    for name, of_peer in peers.items():
        ratio = of_peer.get("ratio")
        if name in (BASE, AGAIN) or ratio is None:
            continue
        if (ratio < low) if result["better"] == "less" else (ratio > high):
            found.append(name)
    return sorted(found, key=lambda name: peers[name]["ratio"],
                  reverse=result["better"] == "more")


def order(names: list[str], turn: int) -> list[str]:
    """The order of the peers in a turn. Over all turns each peer has each place equally often, and
    comes before and after each other peer equally often."""
    start = turn // 2 % len(names)
    rotated = names[start:] + names[:start]
    return rotated if turn % 2 == 0 else rotated[::-1]


def text(value: float | None) -> str:
    """A figure as text: three digits, or a whole number from one hundred on."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
