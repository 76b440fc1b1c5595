"""Addresses: screens at the root, REST below /api/v1/."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("portal.api.urls")),
    path("", include("portal.web.urls")),
]
handler400 = "portal.api.problems.bad_request"
handler403 = "portal.api.problems.forbidden"
handler404 = "portal.api.problems.not_found"
handler500 = "portal.api.problems.server_error"
