"""Who did what, for those who run the place where it was done."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from rest_framework import mixins, serializers

from balances.models import AuditEvent
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.values import IdFilter, InstantFilter

#: Acts on drafts. Drafts are the operator's own, so what they were to hold is not told to the customer here either.
OF_DRAFTS = Q(action="contract.version.drafted") | Q(action__regex=r"^contract\.(allowance|rate)\.")


class AuditEventSerializer(serializers.ModelSerializer):
    """One act. Names are kept as they were: the record outlives what it speaks of."""

    actor = serializers.CharField(help_text="Like “user:7 Alice Arden” or “token:3 Mediation”.")
    detail = serializers.DictField(help_text="What changed; the keys depend on the action.")

    class Meta:
        model = AuditEvent
        fields = ["id", "enterprise", "account", "at", "actor", "action", "subject", "detail"]


class AuditFilters(django_filters.FilterSet):
    """Acts by place, kind, subject and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    action = django_filters.CharFilter(lookup_expr="startswith", label="How the action begins: account, line.assigned.")
    subject = django_filters.CharFilter(label="The exact name of what was changed.")
    since = InstantFilter(field_name="at", lookup_expr="gte", label="Done at or after.")

    class Meta:
        model = AuditEvent
        fields: list[str] = []


class AuditEvents(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Acts in what the caller runs; the record is append-only, so there is nothing but reading."""

    tag = "Audit"
    summaries = {"list": "List what was done", "retrieve": "Read an audit event"}
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilters
    verbs = {"GET": Verb.MANAGE, "HEAD": Verb.MANAGE}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """What was done to drafts is told only to those who may see drafts."""
        own_contracts = Q(enterprise_id__in=self.scope.whole_enterprise_ids(Verb.ADMINISTER))
        return super().within(rows, verb).exclude(OF_DRAFTS & ~own_contracts)
