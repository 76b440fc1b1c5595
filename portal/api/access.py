"""Who may do what: members of enterprises, and the caller's own tokens."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.permissions import BasePermission
from rest_framework.response import Response

from balances.models import Account, Enterprise, Operator, Person
from balances.scope import Verb
from portal import members, tokens
from portal.api.endpoints import Endpoint
from portal.api.permissions import HasVerb
from portal.api.values import Body, IdFilter, InReach, Instant
from portal.models import ApiToken, Membership, Role


class IsPerson(BasePermission):
    """Signed in, not by token: a token must not beget tokens or members beyond what it was given."""

    message = "Tokens and members are a person's business: sign in."

    def has_permission(self, request, view) -> bool:
        return not isinstance(request.auth, ApiToken)


class MembershipSerializer(serializers.ModelSerializer):
    """A role of a user at a place."""

    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")

    class Meta:
        model = Membership
        fields = ["id", "email", "name", "role", "enterprise", "account", "person", "valid_until", "created_at"]


class JoinedSerializer(MembershipSerializer):
    """A role that was just given."""

    welcome_url = serializers.URLField(
        allow_null=True, help_text="Where somebody new sets a password; null for those who sign in with theirs."
    )

    class Meta(MembershipSerializer.Meta):
        fields = [*MembershipSerializer.Meta.fields, "welcome_url"]


class NewMemberBody(Body):
    """A role to be given; nobody gives more than they hold at that place."""

    email = serializers.EmailField(max_length=254)
    name = serializers.CharField(max_length=120, required=False, allow_blank=True, help_text="Of somebody new.")
    role = serializers.ChoiceField(choices=[choice for choice in Role.choices if choice[0] != Role.OPERATOR])
    enterprise = InReach(Enterprise.objects.select_related("operator"), required=False)
    account = InReach(Account.objects.select_related("enterprise"), required=False, allow_null=True)
    person = InReach(Person.objects.select_related("enterprise"), required=False, allow_null=True)
    valid_until = Instant(required=False, allow_null=True, help_text="For somebody who stands in for a while.")

    def validate(self, attrs: dict) -> dict:
        """The enterprise follows from the account or the person."""
        place = attrs.get("account") or attrs.get("person")
        if place is None and "enterprise" not in attrs:
            raise serializers.ValidationError({"enterprise": ["Name the enterprise."]}, code="required")
        attrs.setdefault("enterprise", place.enterprise if place else None)
        return attrs


class MemberFilters(django_filters.FilterSet):
    """Members by place, role and address."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    role = django_filters.ChoiceFilter(choices=Role.choices)
    email = django_filters.CharFilter(field_name="user__email")

    class Meta:
        model = Membership
        fields: list[str] = []


class Members(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Roles at the places that the caller runs."""

    tag = "Access"
    summaries = {"list": "List members", "retrieve": "Read a membership"}
    queryset = Membership.objects.select_related("user")
    serializer_class = MembershipSerializer
    filterset_class = MemberFilters
    permission_classes = [HasVerb, IsPerson]
    verbs = {"GET": Verb.MANAGE, "HEAD": Verb.MANAGE}

    @extend_schema(
        request=NewMemberBody,
        responses={201: JoinedSerializer},
        examples=[
            OpenApiExample(
                "A cost-centre manager",
                value={"email": "carla@example.org", "name": "Carla Castell", "role": "manager", "account": 12},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Give somebody a role.

        Whoever is new becomes a user, who sets a password at `welcome_url`: hand it on. It is good once, for three
        days.
        """
        membership = members.invite(giver=self.scope, **self.body(NewMemberBody), **self.write_context)
        path = members.welcome_path(membership.user, giver=self.scope)
        membership.welcome_url = request.build_absolute_uri(path) if path else None
        return self.made(membership, JoinedSerializer)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Take a role away. Open pages of the user end within seconds."""
        members.end(membership=self.get_object(), giver=self.scope, **self.write_context)
        return Response(status=204)


class TokenSerializer(serializers.ModelSerializer):
    """A REST client's key, without its secret."""

    verbs = serializers.ListField(child=serializers.ChoiceField(choices=list(Verb)))

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "name",
            "prefix",
            "verbs",
            "operator",
            "enterprise",
            "account",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]


class NewTokenSerializer(TokenSerializer):
    """A token just made: the only time that its text is shown."""

    token = serializers.SerializerMethodField(help_text="Keep it: it is shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]

    def get_token(self, token: ApiToken) -> str:
        """What goes behind "Authorization: Bearer"."""
        return self.context["plain"]


class NewTokenBody(Body):
    """A token on an account with all below it, on an enterprise, or (operator's staff) on all of an operator's."""

    name = serializers.CharField(max_length=80)
    verbs = serializers.ListField(child=serializers.ChoiceField(choices=list(Verb)), min_length=1, max_length=len(Verb))
    enterprise = InReach(Enterprise.objects.select_related("operator"), verb=Verb.VIEW, required=False)
    account = InReach(Account.objects.select_related("enterprise__operator"), verb=Verb.VIEW, required=False)
    operator = serializers.IntegerField(min_value=1, required=False)
    expires_at = Instant(required=False, allow_null=True)


class Tokens(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """The caller's own tokens."""

    tag = "Access"
    summaries = {"list": "List your tokens", "retrieve": "Read one of your tokens"}
    queryset = ApiToken.objects.all()
    serializer_class = TokenSerializer
    permission_classes = [HasVerb, IsPerson]
    verbs = {"POST": Verb.VIEW, "DELETE": Verb.VIEW}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """One's own, wherever they reach."""
        return rows.filter(created_by=self.request.user)

    @extend_schema(
        request=NewTokenBody,
        responses={201: NewTokenSerializer},
        examples=[
            OpenApiExample(
                "For a usage feed", value={"name": "Mediation", "verbs": ["ingest"], "enterprise": 3}, request_only=True
            )
        ],
    )
    def create(self, request) -> Response:
        """Make a token.

        It never holds more than you do, and loses what you lose. Its text is shown this once.
        """
        values = self.body(NewTokenBody)
        place = self._place(values)
        plain_values = {key: values[key] for key in ("name", "verbs", "expires_at") if key in values}
        token, plain = tokens.issue(**place, **plain_values, created_by=request.user, at=self.now())
        context = {**self.get_serializer_context(), "plain": plain}
        return Response(NewTokenSerializer(token, context=context).data, status=201)

    def _place(self, values: dict) -> dict:
        """Operator, enterprise and account of a new token. Raises ValidationError."""
        if account := values.get("account"):
            return {"operator": account.enterprise.operator, "enterprise": account.enterprise, "account": account}
        if enterprise := values.get("enterprise"):
            return {"operator": enterprise.operator, "enterprise": enterprise}
        reach = Q(id__in=self.scope.operator_ids)
        operator = Operator.objects.filter(reach, id=values.get("operator", 0)).first()
        if operator is None:
            message = "Name the account or enterprise that the token is for, or the operator that you work for."
            raise serializers.ValidationError({"enterprise": [message]}, code="required")
        return {"operator": operator}

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Revoke a token, at once and for good."""
        tokens.revoke(token=self.get_object(), **self.write_context)
        return Response(status=204)
