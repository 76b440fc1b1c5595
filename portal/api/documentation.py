"""The OpenAPI description and its page, for everybody: they name no enterprise."""

from __future__ import annotations

from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView, SpectacularYAMLAPIView
from rest_framework.permissions import AllowAny


class JSONDescription(SpectacularJSONAPIView):
    """openapi.json, for everybody: it names no enterprise."""

    permission_classes = [AllowAny]


class YAMLDescription(SpectacularYAMLAPIView):
    """openapi.yaml."""

    permission_classes = [AllowAny]


class Documentation(SpectacularSwaggerSplitView):
    """The description to read and to try, served from this site alone."""

    permission_classes = [AllowAny]
    #: Without the inline styles of the original, which our content policy refuses.
    template_name = "api/docs.html"
