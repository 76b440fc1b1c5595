"""Ready-made policies as an operator wants them; what is built in is `policies.regulation`. docs/policies.md

Written by `policies.templates` alone.
"""

from django.db import models


class PolicyTemplate(models.Model):
    """A ready-made policy that an operator changed, or made itself; the operator's, so no enterprise is its door.

    `key` is that of a built-in one where it takes its place. `rules`: see `policies.rules`; `limits`: see
    `policies.regulation.LimitTerms`.
    """

    operator = models.ForeignKey("balances.Operator", on_delete=models.CASCADE, related_name="policy_templates")
    key = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    source = models.CharField(max_length=200, blank=True, help_text="The rule or contract that it follows.")
    note = models.CharField(max_length=600, blank=True, help_text="What to look at before it is published.")
    rules = models.JSONField(default=list)
    limits = models.JSONField(default=list)
    is_offered = models.BooleanField(default=True, help_text="Whether enterprises can begin with it.")
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=160)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operator", "key"], name="policy_template_once_per_operator")]

    def __str__(self) -> str:
        return self.name
