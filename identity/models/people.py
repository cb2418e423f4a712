"""Persons, the accounts they use, and teams.

Separation of duties compares persons: one person with two accounts is still one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, PermissionsMixin
from django.db import models
from uuid_utils.compat import uuid7

from portal import clock


class Person(models.Model):
    """A human being. Contact facts live here; rights hang on accounts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=32, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AccountManager(BaseUserManager["Account"]):
    def create_user(self, username: str, password: str | None = None, **facts: Any) -> Account:
        account = self.model(username=username, **facts)
        account.set_password(password)
        account.save()
        return account

    def get_by_natural_key(self, username: str | None) -> Account:
        return self.get(username=username)


class Account(AbstractBaseUser, PermissionsMixin):
    """A way to sign in: a person's account, or a service account that a person answers for."""

    class Kind(models.TextChoices):
        HUMAN = "human", "Person"
        SERVICE = "service", "Service account"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.HUMAN)
    person = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="accounts")
    is_active = models.BooleanField(default=True)
    issuer = models.URLField(blank=True)
    subject = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects: ClassVar[AccountManager] = AccountManager()
    USERNAME_FIELD = "username"

    class Meta:
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=~models.Q(subject=""), name="account_once_per_subject"
            ),
            models.CheckConstraint(condition=models.Q(is_superuser=False), name="account_nobody_is_superuser"),
            models.CheckConstraint(
                condition=models.Q(kind="service") | models.Q(person__isnull=False), name="account_human_has_person"
            ),
        ]

    def __str__(self) -> str:
        return self.person.name if self.person is not None and self.kind == self.Kind.HUMAN else self.username


class Team(models.Model):
    """People who answer for services together. Its Django group carries the team's rights."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team")
    members: models.ManyToManyField[Account, Membership] = models.ManyToManyField(
        Account, through="Membership", related_name="teams"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    account = models.ForeignKey(Account, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "account"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.account_id} in {self.team_id}"
