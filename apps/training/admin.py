"""Django admin of training: everything can be read; jobs and models change through their services only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.training.models import Comparison, Job, Model, TestResult, Trial


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows; adds, changes and deletes nothing."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("id", "job_type", "status", "priority", "progress", "message", "created_at", "finished_at")
    list_filter = ("job_type", "status")
    search_fields = ("message", "error", "error_code")


@admin.register(Model)
class ModelAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "label_name",
        "alias",
        "origin",
        "parent",
        "rows_train",
        "threshold",
        "is_deleted",
        "created_at",
    )
    list_filter = ("alias", "origin", "label_name", "is_deleted")
    list_select_related = ("parent",)
    search_fields = ("name", "description")
    exclude = ("artifact",)


@admin.register(TestResult)
class TestResultAdmin(ReadOnlyAdmin):
    list_display = ("id", "model", "test_from", "test_to", "overlaps_training", "rows", "coins", "created_at")
    list_filter = ("overlaps_training",)


@admin.register(Comparison)
class ComparisonAdmin(ReadOnlyAdmin):
    list_display = ("id", "winner", "test_from", "test_to", "reason", "created_at")


@admin.register(Trial)
class TrialAdmin(ReadOnlyAdmin):
    list_display = ("id", "job", "number", "state", "value", "started_at", "finished_at")
    list_filter = ("state",)
