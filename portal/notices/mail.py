"""Notices as e-mails: one alone, or several collected; in the reader's language, as text and as simple HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string

from portal.models import Delivery, NoticeSettings, Severity
from portal.notices import inbox, words
from portal.notices.catalogue import CATALOGUE

log = structlog.get_logger(__name__)

URGENCY = [Severity.CRITICAL.value, Severity.WARNING.value, Severity.INFO.value]
#: Notices that a mail says in full.
IN_FULL = 20


@dataclass(frozen=True, slots=True)
class Told:
    """A notice in a mail, and where it is read."""

    message: words.Message
    url: str


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
    """The mail of one user's deliveries: what presses most first, and in full; of many the others by their titles."""
    user = deliveries[0].user
    if user is None:
        raise ValueError("A mail goes to a user.")
    chosen = NoticeSettings.objects.filter(user=user).first()
    language = chosen.language if chosen else "en"
    say = CATALOGUE[language]["mail"]
    in_order = sorted(deliveries, key=lambda d: (URGENCY.index(d.notice.severity), d.notice_id))
    told = []
    for place, each in enumerate(in_order):
        also = inbox.also_told(each.notice, user) if place < IN_FULL else ()
        if each.notice.person_id is None:
            said = words.message(each.notice, language, why=each.why, also=also)
        else:  # who runs the mailbox may read it, and may be the employer
            said = words.veiled(language)
        told.append(Told(said, f"{settings.PUBLIC_URL}/notices/{each.notice_id}/"))
    first = told[0].message.title
    subject = first if len(told) == 1 else f"{say['digest'].format(count=len(told))}: {first}, …"
    states = Counter(each.message.state_word for each in told)
    summary = say["sum"].format(count=len(told), states=", ".join(f"{n} × {word}" for word, n in states.most_common()))
    context = {
        "told": told[:IN_FULL], "others": told[IN_FULL:], "count": len(told), "summary": summary, "say": say,
        "language": language, "portal": settings.PUBLIC_URL,
    }  # fmt: skip
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
