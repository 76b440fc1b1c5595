"""The stack that other tests start: its programs and servers can be killed one by one and come back."""

from __future__ import annotations

import psycopg
import pytest
import redis

from tests.stack import own_stack


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_every_part_of_a_stack_can_be_killed_and_brought_back() -> None:
    with own_stack(workers=1) as stack:
        database_url, redis_url = stack.environment["DATABASE_URL"], stack.environment["REDIS_URL"]
        redis.Redis.from_url(redis_url).set("kept", 7)

        stack.kill_database()
        stack.kill_broker()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(database_url)
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(redis_url).ping()
        stack.start_broker()
        stack.start_database()
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert redis.Redis.from_url(redis_url).get("kept") == b"7"

        for name in ("charging1", "web"):
            stack.kill(name)
            assert not stack.services[name].runs()
            stack.revive(name)
        assert stack.add_worker() == "charging2"
        stack.wait_until_ready()
        assert all(one.runs() for one in stack.services.values())
    assert not any(one.runs() for one in stack.services.values())
