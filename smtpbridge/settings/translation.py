"""
Read `[translation]`, `[ip_pools]` and `[subaccounts]` into the policy that the translation obeys.

What counts where a message does not say may be said for all senders, for a
listener, a credential or a subaccount.  `read_defaults` reads it wherever it
stands, so a key means the same and is checked alike in all four places.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from smtpbridge.dialect.policy import UNSAID, Defaults, Policy, Subaccount, Unsupported
from smtpbridge.settings import checks
from smtpbridge.toml_table import Table, quoted

# SparkPost's name for the pool that is used anyway: here, the one that leads to the default upstream.
_DEFAULT_POOL = "default"
_NO_TEMPLATE = "none"
# Each level takes two frames of the interpreter's thousand, and a message is translated deep in the reactor's stack.
_MOST_LEVELS = 200
_NO_COUNTERPART = (Unsupported.WARN, Unsupported.REFUSE)


def read_policy(translation: Table, ip_pools: Table, subaccounts: Table, upstreams: tuple[str, ...]) -> Policy:
    """Return the policy; `upstreams` are the names that a pool or a subaccount may lead to, the default first."""
    table, default = translation, Policy()
    for_all = read_defaults(table, ip_pools.names())
    policy = Policy(
        default_upstream=upstreams[0] if upstreams else default.default_upstream,
        bcc=table.choice("bcc", default.bcc),
        campaign=table.choice("campaign", default.campaign),
        callback_data=table.choice("callback_data", default.callback_data),
        callback_data_limit=table.whole("callback_data_limit", default.callback_data_limit),
        transactional_priority=table.choice("transactional_priority", default.transactional_priority),
        on_ip_pool=table.choice("on_ip_pool", default.on_ip_pool, among=_NO_COUNTERPART),
        on_inline_css=table.choice("on_inline_css", default.on_inline_css),
        on_skip_suppression=table.choice("on_skip_suppression", default.on_skip_suppression, among=_NO_COUNTERPART),
        on_dkim_key=table.choice("on_dkim_key", default.on_dkim_key, among=_NO_COUNTERPART),
        notify_url=table.text("notify_url", check=checks.url),
        tracking_url=table.text("tracking_url", check=checks.url),
        notify_content_type=table.text("notify_content_type", check=_content_type_fault),
        intermediate_report=table.optional_flag("intermediate_report"),
        application_id=table.text("application_id", check=checks.header_text),
        entity_id=table.text("entity_id", check=checks.header_text),
        skip_passive_storage=table.optional_flag("skip_passive_storage"),
        skip_active_storage=table.optional_flag("skip_active_storage"),
        bounds=replace(
            default.bounds,
            max_json_bytes=table.whole("max_json_bytes", default.bounds.max_json_bytes),
            max_json_levels=table.whole("max_json_levels", default.bounds.max_json_levels, most=_MOST_LEVELS),
            max_json_values=table.whole("max_json_values", default.bounds.max_json_values),
            max_encoded_words=table.whole("max_encoded_words", default.bounds.max_encoded_words),
            max_idn_characters=table.whole("max_idn_characters", default.bounds.max_idn_characters),
        ),
        ip_pools=_read_ip_pools(ip_pools, upstreams),
        subaccounts=_read_subaccounts(subaccounts, upstreams, ip_pools.names()),
    )
    table.close()
    return policy.under(for_all)


def read_defaults(table: Table, pools: tuple[str, ...]) -> Defaults:
    """Return what this table says for messages that do not say; `pools` are the names in `[ip_pools]`."""
    offered = {pool.lower() for pool in pools} | {_DEFAULT_POOL}

    def check_pool(text: str) -> str | None:
        return None if text.lower() in offered else _pool_fault(pools)

    template = table.text("list_unsubscribe", check=_template_fault)
    found = Defaults(
        open_tracking=table.optional_flag("open_tracking"),
        click_tracking=table.optional_flag("click_tracking"),
        transactional=table.optional_flag("transactional"),
        ip_pool=table.text("ip_pool", check=check_pool) or None,
        list_unsubscribe="" if template == _NO_TEMPLATE else template or None,
        envelope_from=table.text("envelope_from", check=_envelope_from_fault) or None,
    )
    return UNSAID if found == UNSAID else found


def _envelope_from_fault(text: str) -> str | None:
    if text in ("auto", "keep") or not (wrong := checks.address(text)):
        return None
    return f'{wrong}; write "auto", "keep" or an address such as "bounces@example.com"'


def _template_fault(text: str) -> str | None:
    if text == _NO_TEMPLATE or not (wrong := checks.unsubscribe_template(text)):
        return None
    return f'{wrong}, or "none"'


def _pool_fault(pools: tuple[str, ...]) -> str:
    there = ", ".join(quoted(pool) for pool in pools) or "it names none"
    return f'is not in [ip_pools] ({there}); write one of its names, or "default"'


def _content_type_fault(text: str) -> str | None:
    if text in ("application/json", "application/xml"):
        return None
    return 'is not what Infobip sends; write "application/json" or "application/xml"'


def _read_ip_pools(table: Table, upstreams: tuple[str, ...]) -> Mapping[str, str]:
    pools = {pool: table.text(pool, check=lambda text: checks.upstream(text, upstreams)) for pool in table.names()}
    return MappingProxyType(pools)


def _read_subaccounts(table: Table, upstreams: tuple[str, ...], pools: tuple[str, ...]) -> Mapping[str, Subaccount]:
    accounts: dict[str, Subaccount] = {}
    for number in table.names():
        if not (number.isascii() and number.isdigit()):
            table.fault(quoted(number), 'is not the number of a subaccount; write it as in 123 = { upstream = "main" }')
        account = table.table(number)
        accounts[number] = Subaccount(
            upstream=account.text("upstream", check=lambda text: checks.upstream(text, upstreams)),
            entity_id=account.text("entity_id", check=checks.header_text),
            application_id=account.text("application_id", check=checks.header_text),
            defaults=read_defaults(account, pools),
        )
        if account.has("upstream") and account.has("ip_pool"):
            account.fault("ip_pool", "and upstream are both given; either says where this subaccount's mail goes")
        account.close()
    return MappingProxyType(accounts)
