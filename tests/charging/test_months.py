"""Monthly partitions are made by whoever comes first, and by nobody else."""

from __future__ import annotations

import threading
from datetime import date

import pytest
from django.db import connection, connections, transaction

from portal.charging import pipeline

NEW_MONTH = date(2019, 5, 1)


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_need_the_same_new_month_at_once_make_it_once() -> None:
    waits, made = threading.Event(), list[bool | BaseException]()

    def second() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")  # a session, before it counts
            waits.set()
            made.append(pipeline.prepare_month(NEW_MONTH))
        except BaseException as problem:
            made.append(problem)
        finally:
            connections.close_all()

    other = threading.Thread(target=second)
    with transaction.atomic():
        assert pipeline.prepare_month(NEW_MONTH)
        other.start()
        waits.wait(20)
        other.join(0.5)  # it has looked, and stands before the lock
        assert other.is_alive()
    other.join(20)
    assert made == [False]
