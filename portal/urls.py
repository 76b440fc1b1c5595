"""Addresses: screens at the root, REST below /api/v1/."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("portal.api.urls")),
    path("", include("portal.web.urls")),
]
