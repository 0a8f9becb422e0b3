"""
Judge the wishes that Infobip has no header for.

How it works: a pool of addresses and a subaccount choose an upstream, if the
operator named one for them; the other options have no counterpart at all.
What cannot be granted is a warning or a refusal, as the policy says, and never
silence.  Where pool and subaccount both lead to an upstream, the pool wins:
the message said it, the login only implied it.  A pool that is only the
configured default comes last.

What must not be known here: how a header is written.
"""

from dataclasses import dataclass
from functools import lru_cache

from smtpbridge.dialect.infobip import Account
from smtpbridge.dialect.instructions import Instructions, Refusal, Remark
from smtpbridge.dialect.policy import Policy, Subaccount, Unsupported

# SparkPost reserves this name, in any case, for the pool and the key that are used anyway.
_DEFAULT = "default"
_MOST_SHOWN = 80
_NOWHERE = Subaccount()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where the message goes, and what it does not get."""

    account: Account
    warnings: tuple[Remark, ...] = ()
    inline_css: bool = False


def judge(wishes: Instructions, policy: Policy, subaccount: str, *, can_inline: bool = False) -> Judgement | Refusal:
    """
    Return the account to send through, or the refusal of an option that the policy does not let pass.

    `can_inline` says that there is something here that inlines CSS.
    """
    if not (subaccount or wishes.ip_pool or policy.ip_pool or _asks_for_more(wishes)):
        # The usual case.
        return _granted(policy.default_upstream, "", "")
    warnings: list[Remark] = []
    inline_css = bool(wishes.inline_css) and can_inline and policy.on_inline_css is Unsupported.MAP
    for lack, stance in _lacks(wishes, policy, inline_css):
        if stance is Unsupported.REFUSE:
            return Refusal(lack.text, kind=lack.kind)
        warnings.append(lack)
    booked = policy.subaccounts.get(subaccount) if subaccount else None
    if subaccount and booked is None:
        warnings.append(Remark("subaccount", f"subaccount {_shown(subaccount)} is not configured: defaults are used"))
    booked = booked or _NOWHERE
    upstream = (
        _pool_upstream(wishes.ip_pool, policy)
        or booked.upstream
        or _pool_upstream(policy.ip_pool, policy)
        or policy.default_upstream
    )
    granted = _granted(upstream, booked.entity_id, booked.application_id)
    return Judgement(granted.account, tuple(warnings), inline_css) if warnings or inline_css else granted


# All of these are the configuration's words.
@lru_cache(maxsize=256)
def _granted(upstream: str, entity_id: str, application_id: str) -> Judgement:
    """Return the judgement on a message that gets all that it asks for here."""
    return Judgement(Account(upstream, entity_id, application_id))


def _lacks(wishes: Instructions, policy: Policy, inline_css: bool) -> list[tuple[Remark, Unsupported]]:
    """Return what cannot be granted, and the policy for it."""
    lacks: list[tuple[Remark, Unsupported]] = []
    if not (wishes.ip_pool or _asks_for_more(wishes)):
        return lacks
    pool, dkim_key = _named(wishes.ip_pool), _named(wishes.dkim_key)
    if pool and not _pool_upstream(pool, policy):
        text = f"X-MSYS-API 'ip_pool' {_shown(pool)} leads to no upstream here"
        lacks.append((Remark("ip-pool", text), policy.on_ip_pool))
    if wishes.inline_css and not inline_css:
        mapped = policy.on_inline_css is Unsupported.MAP
        why = "css-inline is not installed here" if mapped else "the configuration does not have it done"
        text = f"X-MSYS-API 'inline_css': CSS was not inlined, because {why}"
        lacks.append((Remark("inline-css", text), policy.on_inline_css))
    if wishes.skip_suppression:
        text = "X-MSYS-API 'skip_suppression' has no counterpart: suppressed recipients stay suppressed"
        lacks.append((Remark("skip-suppression", text), policy.on_skip_suppression))
    if dkim_key:
        text = f"X-MSYS-API 'dkim_key' {_shown(dkim_key)} has no counterpart: the provider picks its key"
        lacks.append((Remark("dkim-key", text), policy.on_dkim_key))
    return lacks


def _asks_for_more(wishes: Instructions) -> bool:
    """Tell whether there is something beside a pool that may not be granted."""
    return bool(wishes.dkim_key or wishes.inline_css or wishes.skip_suppression)


def _named(text: str | None) -> str:
    """Return the name of the pool or key; nothing where it is the one that is used anyway."""
    return "" if text is None or text.lower() == _DEFAULT else text


def _pool_upstream(pool: str | None, policy: Policy) -> str:
    """Return the upstream for the pool; SparkPost compares the names of pools without case."""
    if not pool:
        return ""
    named = policy.ip_pools.get(pool)
    if named is not None:
        return named
    wanted = pool.lower()
    return next((upstream for pool, upstream in policy.ip_pools.items() if pool.lower() == wanted), "")


def _shown(text: str) -> str:
    """Return the text in quotes, in printable ASCII and bounded."""
    shown = ascii(text[:_MOST_SHOWN])
    return shown if len(text) <= _MOST_SHOWN and len(shown) <= 2 * _MOST_SHOWN else shown[:_MOST_SHOWN] + "..."
