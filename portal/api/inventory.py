"""Devices and people of an enterprise."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.response import Response

from balances import inventory
from balances.models import Account, Device, Enterprise, Person
from balances.models.accounts import DeviceOwnership, DeviceType
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter, InReach


class DeviceSerializer(serializers.ModelSerializer):
    """A handset, tablet, router or machine."""

    class Meta:
        model = Device
        fields = ["id", "enterprise", "imei", "model", "ownership", "device_type", "created_at"]


class NewDeviceBody(Body):
    """A device to be added."""

    enterprise = InReach(Enterprise.objects.all())
    imei = serializers.CharField(max_length=40)
    model = serializers.CharField(max_length=80, required=False, allow_blank=True)
    ownership = serializers.ChoiceField(choices=DeviceOwnership.choices, required=False)
    device_type = serializers.ChoiceField(choices=DeviceType.choices, required=False)


class DeviceChangeBody(Body):
    """What of a device may be corrected."""

    model = serializers.CharField(max_length=80, required=False, allow_blank=True)
    ownership = serializers.ChoiceField(choices=DeviceOwnership.choices, required=False)
    device_type = serializers.ChoiceField(choices=DeviceType.choices, required=False)


class DeviceFilters(django_filters.FilterSet):
    """Devices by enterprise, IMEI, owner and type."""

    enterprise = IdFilter(field_name="enterprise_id")
    imei = django_filters.CharFilter()
    ownership = django_filters.ChoiceFilter(choices=DeviceOwnership.choices)
    device_type = django_filters.ChoiceFilter(choices=DeviceType.choices)

    class Meta:
        model = Device
        fields: list[str] = []


class Devices(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Devices of the enterprises that the caller sees as a whole."""

    tag = "Devices"
    summaries = {"list": "List devices", "retrieve": "Read a device"}
    queryset = Device.objects.all()
    serializer_class = DeviceSerializer
    filterset_class = DeviceFilters

    @extend_schema(request=NewDeviceBody, responses={201: DeviceSerializer})
    def create(self, request) -> Response:
        """Add a device."""
        return self.made(inventory.add_device(**self.body(NewDeviceBody), **self.write_context))

    @extend_schema(request=DeviceChangeBody, responses=DeviceSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Correct what is known of a device."""
        device = self.get_object()
        known = {"model": device.model, "ownership": device.ownership, "device_type": device.device_type}
        values = known | self.body(DeviceChangeBody)
        return self.shown(inventory.update_device(device=device, **values, **self.write_context))


class PersonSerializer(serializers.ModelSerializer):
    """Somebody who uses lines."""

    account_code = serializers.CharField(source="account.code")

    class Meta:
        model = Person
        fields = ["id", "enterprise", "account", "account_code", "number", "name", "email", "created_at"]


class NewPersonBody(Body):
    """A person to be added."""

    account = InReach(Account.objects.select_related("enterprise"))
    number = serializers.CharField(max_length=40, help_text="Personnel number, unique in the enterprise.")
    name = serializers.CharField(max_length=120)
    email = serializers.CharField(max_length=254, required=False, allow_blank=True)


class PersonChangeBody(Body):
    """What of a person may be changed."""

    account = InReach(Account.objects.all(), required=False)
    name = serializers.CharField(max_length=120, required=False)
    email = serializers.CharField(max_length=254, required=False, allow_blank=True)


class PersonFilters(django_filters.FilterSet):
    """People by place, personnel number and name."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    number = django_filters.CharFilter()
    name = django_filters.CharFilter(lookup_expr="icontains", label="Any part of the name.")

    class Meta:
        model = Person
        fields: list[str] = []


class People(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """People at the accounts in reach."""

    tag = "People"
    summaries = {"list": "List people", "retrieve": "Read a person"}
    queryset = Person.objects.select_related("account")
    serializer_class = PersonSerializer
    filterset_class = PersonFilters

    @extend_schema(request=NewPersonBody, responses={201: PersonSerializer})
    def create(self, request) -> Response:
        """Add a person at an account."""
        values = self.body(NewPersonBody)
        enterprise = values["account"].enterprise
        return self.made(inventory.add_person(enterprise=enterprise, **values, **self.write_context))

    @extend_schema(request=PersonChangeBody, responses=PersonSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Correct a person, or put them at another account."""
        person = self.get_object()
        known = {"name": person.name, "email": person.email, "account": person.account}
        values = {**known, **self.body(PersonChangeBody)}
        person = inventory.update_person(person=person, **values, **self.write_context)
        return self.shown(self.queryset.get(pk=person.pk))
