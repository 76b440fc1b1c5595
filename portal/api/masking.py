"""How far numbers of other parties are shown: what enterprises declared, and what holds without it."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import masking
from balances.models import Enterprise, MaskingDeclaration, MaskingRule
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter, InReach


class MaskingDeclarationSerializer(serializers.ModelSerializer):
    """What an enterprise declared to its operator, and how far numbers of usage since then are shown."""

    cut_digits = serializers.SerializerMethodField(
        help_text="How many digits are cut while it stands; 0: none; null: numbers are not shown at all."
    )

    class Meta:
        model = MaskingDeclaration
        fields = [
            "id",
            "enterprise",
            "rule",
            "country",
            "cut_digits",
            "text",
            "declared_at",
            "declared_by",
            "ended_at",
        ]

    def get_cut_digits(self, declaration: MaskingDeclaration) -> int | None:
        """What the rule comes to in its country."""
        return masking.mask_of(declaration.rule, declaration.country).cut_digits


class NewDeclarationBody(Body):
    """What is declared: that staff are informed, and the works council was involved, where the law wants it."""

    enterprise = InReach(Enterprise.objects.all())
    rule = serializers.ChoiceField(MaskingRule.choices)
    text = serializers.CharField(max_length=masking.TEXT_MOST, help_text="What was declared, and to whom.")


class MaskingFilters(django_filters.FilterSet):
    """Declarations by enterprise; those that stand."""

    enterprise = IdFilter(field_name="enterprise_id")
    is_standing = django_filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull")

    class Meta:
        model = MaskingDeclaration
        fields: list[str] = []


class MaskingDeclarations(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Declarations of the enterprises in reach, those that stand and those that stood."""

    tag = "Usage"
    summaries = {"list": "List masking declarations", "retrieve": "Read a masking declaration"}
    queryset = MaskingDeclaration.objects.all()
    serializer_class = MaskingDeclarationSerializer
    filterset_class = MaskingFilters

    @extend_schema(
        request=NewDeclarationBody,
        responses={201: MaskingDeclarationSerializer},
        examples=[
            OpenApiExample(
                "Staff are informed",
                value={
                    "enterprise": 1,
                    "rule": "full",
                    "text": "Staff informed on 2 March; works agreement of 1 March.",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Declare how far numbers of other parties are shown.

        It holds for usage from now on and takes the place of the one that stands. What a country does not allow is
        refused.
        """
        return self.made(masking.declare(**self.body(NewDeclarationBody), **self.write_context))

    @extend_schema(request=None, responses=MaskingDeclarationSerializer)
    @action(detail=True, methods=["post"], filterset_class=None)
    def end(self, request, pk: int) -> Response:
        """Take a declaration back: for later usage the country's own rule holds."""
        return self.shown(masking.end(declaration=self.get_object(), **self.write_context))
