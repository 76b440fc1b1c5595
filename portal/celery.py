"""The Celery application: queues by enterprise for charging, one for everything else."""

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.on_after_configure.connect
def _declare_queues(sender: Celery, **_) -> None:
    from django.conf import settings

    own = (settings.NOTICES_QUEUE, settings.SENDING_QUEUE, settings.CELERY_TASK_DEFAULT_QUEUE)
    names = (*settings.CHARGING_QUEUES, *own)
    sender.conf.task_queues = [Queue(name) for name in names]


app.autodiscover_tasks(["portal.charging", "portal.provisioning", "portal.notices"])
