"""Addresses of the live sockets."""

from django.urls import path

from portal.live.bell import BellConsumer
from portal.live.consumers import AccountConsumer, LineConsumer

websocket_urlpatterns = [
    path("live/accounts/<int:id>/", AccountConsumer.as_asgi()),
    path("live/lines/<int:id>/", LineConsumer.as_asgi()),
    path("live/notices/", BellConsumer.as_asgi()),
]
