"""Addresses of REST v1: plural nouns, no slash at the end."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from portal.api import (
    access,
    accounts,
    allocations,
    audit,
    buckets,
    contingencies,
    contracts,
    documentation,
    draw_caps,
    enterprises,
    exchanges,
    inventory,
    limits,
    lines,
    offers,
    operations,
    policies,
    suspense,
    thresholds,
    usage,
    usage_batches,
)

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
for address, view in {
    "enterprises": enterprises.Enterprises,
    "accounts": accounts.Accounts,
    "lines": lines.Lines,
    "devices": inventory.Devices,
    "people": inventory.People,
    "zones": contracts.Zones,
    "contracts": contracts.Contracts,
    "versions": contracts.Versions,
    "allowances": contracts.Allowances,
    "thresholds": thresholds.Thresholds,
    "crossings": thresholds.Crossings,
    "limits": limits.Limits,
    "limit-crossings": limits.LimitCrossings,
    "consents": limits.Consents,
    "exemptions": limits.Exemptions,
    "restrictions": limits.Restrictions,
    "buckets": buckets.Buckets,
    "allocations": allocations.Allocations,
    "contingencies": contingencies.Contingencies,
    "draw-caps": draw_caps.DrawCaps,
    "exchanges": exchanges.Exchanges,
    "exchange-rates": exchanges.ExchangeRates,
    "offers": offers.Offers,
    "trades": offers.Trades,
    "trading-terms": offers.Terms,
    "policies": policies.Policies,
    "counters": usage.Counters,
    "usage-records": usage.UsageRecords,
    "usage-batches": usage_batches.UsageBatches,
    "suspense": suspense.Suspense,
    "column-profiles": operations.Profiles,
    "jobs": operations.Jobs,
    "members": access.Members,
    "tokens": access.Tokens,
    "audit-events": audit.AuditEvents,
}.items():
    router.register(address, view, basename=f"api-{address}")

urlpatterns = [
    *router.urls,
    path("openapi.json", documentation.JSONDescription.as_view(), name="openapi-json"),
    path("openapi.yaml", documentation.YAMLDescription.as_view(), name="openapi-yaml"),
    path("docs/", documentation.Documentation.as_view(url_name="openapi-json"), name="api-docs"),
]
