"""Notices as e-mails: one alone, or several collected; in the reader's language, as text and as simple HTML."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string

from portal.models import Delivery, NoticeSettings
from portal.notices import inbox, words
from portal.notices.catalogue import CATALOGUE

log = structlog.get_logger(__name__)


class Post:
    """A turn of sending over one connection; a server that cannot be reached is asked once a turn, not once a mail."""

    def __init__(self) -> None:
        self._connection = get_connection()
        self._down = ""

    def send(self, deliveries: Sequence[Delivery]) -> str:
        """Send one user's due deliveries as one mail; returns what went wrong, or nothing."""
        if not deliveries or self._down:
            return self._down
        try:
            self._connection.open()
        except Exception as problem:
            self._down = f"{type(problem).__name__}: {problem}"
            log.warning("notices.mail_server_down", problem=self._down)
            return self._down
        return _sent(self._connection, deliveries)

    def close(self) -> None:
        """Let the server go."""
        with suppress(Exception):
            self._connection.close()


def _sent(connection, deliveries: Sequence[Delivery]) -> str:
    try:
        mail = compose(deliveries)
        mail.connection = connection
        mail.send()
    except Exception as problem:  # whatever the server says: it is tried again, and others have their turn
        log.warning("notices.mail_failed", deliveries=[d.id for d in deliveries], problem=str(problem))
        return f"{type(problem).__name__}: {problem}"
    return ""


def compose(deliveries: Sequence[Delivery]) -> EmailMultiAlternatives:
    """The mail of one user's deliveries, oldest notice first."""
    user = deliveries[0].user
    if user is None:
        raise ValueError("A mail goes to a user.")
    chosen = NoticeSettings.objects.filter(user=user).first()
    language = chosen.language if chosen else "en"
    say = CATALOGUE[language]["mail"]
    told = [
        {
            "message": words.message(d.notice, language, why=d.why, also=inbox.also_told(d.notice, user)),
            "url": f"{settings.PUBLIC_URL}/notices/{d.notice_id}/",
        }
        for d in sorted(deliveries, key=lambda delivery: delivery.notice_id)
    ]
    first = words.message(deliveries[0].notice, language).title
    subject = first if len(told) == 1 else f"{say['digest'].format(count=len(told))}: {first}, …"
    context = {"told": told, "say": say, "language": language, "portal": settings.PUBLIC_URL}
    host = urlsplit(settings.PUBLIC_URL).hostname or "portal"
    mail = EmailMultiAlternatives(
        " ".join(subject.split()),
        render_to_string("emails/notices.txt", context),
        to=[user.email],
        headers={
            "Message-ID": f"<notice-{'-'.join(str(d.id) for d in deliveries[:8])}@{host}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    mail.attach_alternative(render_to_string("emails/notices.html", context), "text/html")
    return mail
