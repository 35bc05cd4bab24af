"""What may happen to jobs and models. The `ml_jobs` row is the queue; Celery only wakes the trainer.

A job is claimed by a conditional update and belongs to the worker named in it: heartbeats and results of another one
change nothing, so a job that was taken away from a dead worker cannot have two results.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Now
from django.utils.translation import gettext_noop as _
from kombu.exceptions import OperationalError as BrokerError

from apps.core import live
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.training import containers, metrics, names, selections
from apps.training.models import Comparison, Job, Lineage, Model, TestResult, Trial
from apps.training.recipes import Recipe, Tune, recipe_parse

logger = logging.getLogger(__name__)

RUN_JOB = "apps.training.tasks.run_job"
DEAD_AFTER = timedelta(seconds=60)
MAX_RESTARTS = 1
COMPARE_LEAST, COMPARE_MOST = 2, 4
PRIORITY_FIRST, PRIORITY_LAST = 1, 9
DELETED = " (deleted {pk})"
_CLAIM_LOCK = 7_301
_IMPATIENT = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
_OPEN = (Job.Status.PENDING, Job.Status.RUNNING)


# --- Asking for work -----------------------------------------------------------------------------------
def train_request(*, recipe: Recipe, priority: int = 5, lineage: Lineage | None = None) -> Job:
    """Queue the training of a recipe as it stands (its `tune` is not looked at). Raises MODEL_NAME_TAKEN,
    UNKNOWN_PHASE."""
    names.name_check(name=recipe.name)
    selections.phases_check(recipe)
    params = {"recipe": recipe.as_json(), "lineage": (lineage or Lineage()).as_json()}
    return job_create(job_type=Job.Type.TRAIN, params=params, priority=priority)


def tune_request(*, recipe: Recipe, priority: int = 5) -> Job:
    """Queue a study: many fits of the recipe, the best of which can be trained. Raises MODEL_NAME_TAKEN,
    UNKNOWN_PHASE."""
    names.name_check(name=recipe.name)
    selections.phases_check(recipe)
    recipe = recipe if recipe.tune else recipe.model_copy(update={"tune": Tune()})
    return job_create(job_type=Job.Type.TUNE, params={"recipe": recipe.as_json()}, priority=priority)


def recipe_request(*, recipe: Recipe, priority: int = 5) -> Job:
    """Queue what a recipe asks for: a study where it has a part `tune`, else the training."""
    request = tune_request if recipe.tune else train_request
    return request(recipe=recipe, priority=priority)


def test_request(*, model: Model, start: datetime, end: datetime, priority: int = 5) -> Job:
    """Queue a test of a model on the windows that end in (start, end]."""
    params = {"from": start.isoformat(), "to": end.isoformat()}
    return job_create(job_type=Job.Type.TEST, params=params, priority=priority, model=model)


def compare_request(*, models: Sequence[Model], start: datetime, end: datetime, priority: int = 5) -> Job:
    """Queue a comparison of two to four models on the same rows. Raises COMPARE_NUMBER, COMPARE_LABELS_DIFFER."""
    if not COMPARE_LEAST <= len({model.pk for model in models}) <= COMPARE_MOST:
        message = worded("Choose %(least)s to %(most)s different models.", least=COMPARE_LEAST, most=COMPARE_MOST)
        raise PlatformError("COMPARE_NUMBER", message)
    if len({_question(model) for model in models}) > 1:
        raise PlatformError(
            "COMPARE_LABELS_DIFFER",
            "Only models with the same label (with its latency), phases and filters can be judged on the same rows.",
        )
    params = {"models": [model.pk for model in models], "from": start.isoformat(), "to": end.isoformat()}
    return job_create(job_type=Job.Type.COMPARE, params=params, priority=priority)


def _question(model: Model) -> str:
    """What a model is asked about which rows, as text that is the same for the same question."""
    recipe = recipe_parse(model.recipe)
    return f"{recipe.label!r} {sorted(recipe.data.phases)} {recipe.data.filter()!r}"


def job_create(*, job_type: Job.Type, params: dict[str, Any], priority: int = 5, model: Model | None = None) -> Job:
    """A waiting job, announced to the trainer after commit. Raises PRIORITY_OUT_OF_RANGE.

    Inside `transaction.atomic` the job can be taken by `job_take` before the trainer hears of it.
    """
    if not PRIORITY_FIRST <= priority <= PRIORITY_LAST:
        raise PlatformError("PRIORITY_OUT_OF_RANGE", f"Priority goes from {PRIORITY_FIRST} to {PRIORITY_LAST}.")
    job = Job.objects.create(job_type=job_type, params=params, priority=priority, model=model, message="waiting")
    transaction.on_commit(lambda: job_announce(job_id=job.pk))
    transaction.on_commit(lambda: live.publish("training"))
    return job


def job_announce(*, job_id: int, expires: float | None = None) -> None:
    """Wake the trainer. A broker that is away is not an error: `dispatch_jobs` announces waiting jobs again."""
    try:
        with current_app.connection_for_write() as link:
            link.transport_options = {**(link.transport_options or {}), **_IMPATIENT}
            current_app.send_task(RUN_JOB, (job_id,), expires=expires, retry=False, connection=link)
    except (BrokerError, ConnectionError) as error:
        logger.warning("job %s waits: the broker is away (%s)", job_id, type(error).__name__)


# --- The life of a job ---------------------------------------------------------------------------------
def job_claim(*, worker: str, now: datetime) -> Job | None:
    """The most urgent waiting job, now running under this worker; None where none waits or enough run."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_CLAIM_LOCK,))
        if Job.objects.filter(status=Job.Status.RUNNING).count() >= settings.MAX_CONCURRENT_JOBS:
            return None
        job = Job.objects.filter(status=Job.Status.PENDING).order_by("priority", "id").first()
        if job is None or not job_take(job=job, worker=worker, now=now):
            return None
    _tell()
    return job


def job_take(*, job: Job, worker: str, now: datetime) -> bool:
    """Let this worker have a waiting job, whatever else runs; False where another one has it."""
    fields = {"worker": worker, "started_at": now, "heartbeat_at": now, "progress": 0.0, "message": _("starting")}
    waiting = Job.objects.filter(pk=job.pk, status=Job.Status.PENDING)
    taken = waiting.update(status=Job.Status.RUNNING, **fields) == 1
    job.refresh_from_db()
    return taken


def job_beat(*, job: Job, now: datetime) -> tuple[bool, bool]:
    """Note that the worker lives. Returns (still ours, cancel wanted)."""
    ours = _owned(job).update(heartbeat_at=now) == 1
    return ours, ours and _owned(job).filter(cancel_requested=True).exists()


def job_progress(*, job: Job, progress: float, message: str) -> None:
    """Show how far the job is (ratio) and what it does."""
    _owned(job).update(progress=progress, message=message[:200])
    live.publish("training")


def job_log(*, job: Job, line: str, now: datetime) -> None:
    """Append a line to the job's log."""
    _owned(job).update(log=Concat(F("log"), Value(f"{now:%H:%M:%S} {line}\n")))


def job_finish(
    *,
    job: Job,
    status: Job.Status,
    now: datetime,
    result: dict[str, Any] | None = None,
    error: PlatformError | None = None,
) -> bool:
    """End a running job; False (and no change) where it is no longer this worker's. The rows that an error
    counted stay as its result."""
    fields: dict[str, Any] = {"status": status, "finished_at": now, "result": result, "message": status.label}
    if status == Job.Status.COMPLETED:
        fields["progress"] = 1.0
    if error is not None:
        fields |= {"error_code": error.code, "error": error.message, "message": error.message[:200]}
        fields["result"] = {"counts": error.details["counts"]} if "counts" in error.details else None
    if _owned(job).update(**fields) != 1:
        return False
    _trials_break_off(job)
    metrics.JOBS.labels(job.job_type, status).inc()
    if job.started_at:
        metrics.JOB_DURATION.labels(job.job_type).observe((now - job.started_at).total_seconds())
    transaction.on_commit(_tell)
    return True


def job_cancel(*, job: Job, now: datetime) -> Job:
    """Cancel a waiting job at once, ask a running one to stop. Raises ConflictError JOB_ALREADY_ENDED."""
    ended = {"status": Job.Status.CANCELLED, "cancel_requested": True, "finished_at": now, "message": "cancelled"}
    if Job.objects.filter(pk=job.pk, status=Job.Status.PENDING).update(**ended) == 1:
        metrics.JOBS.labels(job.job_type, Job.Status.CANCELLED).inc()
    elif Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING).update(cancel_requested=True) != 1:
        raise ConflictError("JOB_ALREADY_ENDED", "The job has already ended: there is nothing to cancel.")
    transaction.on_commit(lambda: live.publish("training"))
    job.refresh_from_db()
    return job


def jobs_reap(*, now: datetime) -> int:
    """Take running jobs from workers that no longer beat: cancelled where that was asked for, else waiting again once,
    then failed. Returns how many."""
    reaped = 0
    for job in Job.objects.filter(status=Job.Status.RUNNING, heartbeat_at__lt=now - DEAD_AFTER).order_by("id"):
        fields = _reaped(job, now)
        if _owned(job).filter(heartbeat_at=job.heartbeat_at).update(**fields) != 1:
            continue  # it beat after all, or another one has reaped it
        _trials_break_off(job)
        reaped += 1
        if fields["status"] != Job.Status.PENDING:
            metrics.JOBS.labels(job.job_type, fields["status"]).inc()
        logger.warning("job %s: worker %s no longer beats", job.pk, job.worker)
    if reaped:
        live.publish("training")
    return reaped


def _trials_break_off(job: Job) -> None:
    """A trial that nobody works on any more never was: a study that goes on asks for it again."""
    if job.job_type == Job.Type.TUNE:
        job.trials.filter(state=Trial.State.RUNNING).delete()


def _reaped(job: Job, now: datetime) -> dict[str, Any]:
    """What becomes of a job whose worker died."""
    restarts = job.params.get("restarts", 0)
    if job.cancel_requested:
        return {"status": Job.Status.CANCELLED, "finished_at": now, "message": "cancelled"}
    if restarts < MAX_RESTARTS:
        params = {**job.params, "restarts": restarts + 1}
        return {"status": Job.Status.PENDING, "worker": "", "message": _("waiting again"), "params": params}
    text = _("The worker died while it ran this job. Look into the trainer's log, then start it anew.")
    return {"status": Job.Status.FAILED, "finished_at": now, "error_code": "WORKER_LOST", "error": text}


def jobs_dispatch(*, now: datetime) -> int:
    """Reap, then announce waiting jobs that nobody took, as many as may run. Returns how many were announced."""
    jobs_reap(now=now)
    gauges_set()
    free = settings.MAX_CONCURRENT_JOBS - Job.objects.filter(status=Job.Status.RUNNING).count()
    overdue = now - timedelta(seconds=settings.POLLING_INTERVAL_SECONDS)
    waiting = Job.objects.filter(status=Job.Status.PENDING, created_at__lt=overdue).order_by("priority", "id")
    announced = list(waiting.values_list("pk", flat=True)[: max(free, 0)])
    for job_id in announced:
        job_announce(job_id=job_id, expires=2 * settings.POLLING_INTERVAL_SECONDS)
    return len(announced)


def gauges_set() -> None:
    """Bring the gauges of jobs and models up to date."""
    metrics.JOBS_ACTIVE.set(Job.objects.filter(status=Job.Status.RUNNING).count())
    metrics.MODELS.set(Model.objects.filter(is_deleted=False).count())


def _tell() -> None:
    gauges_set()
    live.publish("training")


def _owned(job: Job) -> Any:
    return Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING, worker=job.worker)


# --- Models and results --------------------------------------------------------------------------------
def model_get(*, model_id: int) -> Model:
    """A model that is not deleted. Raises NotFoundError MODEL_NOT_FOUND."""
    model = Model.objects.filter(pk=model_id, is_deleted=False).first()
    if model is None:
        raise NotFoundError("MODEL_NOT_FOUND", worded("There is no model %(id)s.", id=model_id))
    return model


def model_update(*, model: Model, name: str | None = None, description: str | None = None) -> Model:
    """Rename or describe a model. Raises ConflictError MODEL_NAME_TAKEN."""
    given = {"name": name, "description": description}
    changes = {field: value for field, value in given.items() if value not in (None, getattr(model, field))}
    if name := changes.get("name"):
        names.name_check(name=name)
    for field, value in changes.items():
        setattr(model, field, value)
    names.model_save(model, list(changes))
    return model


def model_delete(*, model: Model) -> None:
    """Take a model out of sight; rows that refer to it stay, its name and alias are free again.

    Raises ConflictError MODEL_IS_ACTIVE. Models at work are known here only by the reverse side of their foreign key.
    """
    with transaction.atomic():
        Model.objects.select_for_update().get(pk=model.pk)
        if model.active.filter(is_active=True).exists():
            raise ConflictError("MODEL_IS_ACTIVE", "This model is at work: stop it under Predictions first.")
        stamp = DELETED.format(pk=model.pk)
        fields = {"is_deleted": True, "deleted_at": Now(), "alias": Model.Alias.NONE}
        Model.objects.filter(pk=model.pk, is_deleted=False).update(
            name=model.name[: 100 - len(stamp)] + stamp, **fields
        )
        transaction.on_commit(_tell)


def model_restore(*, model: Model, name: str | None = None) -> Model:
    """Bring a deleted model back under its own name, or another. Raises MODEL_NOT_DELETED, MODEL_NAME_TAKEN."""
    if not model.is_deleted:
        raise ConflictError("MODEL_NOT_DELETED", "This model is not deleted: there is nothing to restore.")
    wanted = name or model.name.removesuffix(DELETED.format(pk=model.pk))
    names.name_check(name=wanted)
    model.name, model.is_deleted, model.deleted_at = wanted, False, None
    names.model_save(model, ["name", "is_deleted", "deleted_at"])
    transaction.on_commit(_tell)
    return model


def model_import(*, data: bytes, name: str | None = None) -> Model:
    """Store a model from its file (see `containers`) under its own name or another one.

    Raises PlatformError MODEL_FILE_* with the reason why the file is refused, ConflictError MODEL_NAME_TAKEN.
    """
    if name:
        names.name_check(name=name)  # before the file is looked at in a process of its own
    model = containers.unpack(data)
    model.name = name or model.name
    names.name_check(name=model.name)
    names.model_save(model)
    transaction.on_commit(_tell)
    return model


# --- Aliases and lineage -------------------------------------------------------------------------------
def alias_set(*, model: Model, alias: Model.Alias | str) -> Model:
    """Give a model an alias, taking it from the one that had it for the same question; "" takes the model's own away.

    Raises PlatformError ALIAS_UNKNOWN and NotFoundError MODEL_NOT_FOUND (a deleted model has none).
    """
    if alias not in Model.Alias.values:
        raise PlatformError("ALIAS_UNKNOWN", f"An alias is one of {[one for one in Model.Alias.values if one]}.")
    with transaction.atomic():
        rows = Model.objects.filter(label_name=model.label_name, is_deleted=False).order_by("pk")
        asking_same = set(rows.select_for_update().values_list("pk", flat=True))
        if model.pk not in asking_same:
            raise NotFoundError("MODEL_NOT_FOUND", "This model is deleted: restore it first.")
        if alias:
            rows.filter(alias=alias).exclude(pk=model.pk).update(alias=Model.Alias.NONE)
        rows.filter(pk=model.pk).update(alias=alias)
        transaction.on_commit(lambda: live.publish("training"))
    model.alias = alias
    return model


def model_with_alias(*, label_name: str, alias: Model.Alias | str) -> Model | None:
    """The model that has the alias for this question; None where none has."""
    return Model.objects.filter(label_name=label_name, alias=alias, is_deleted=False).exclude(alias="").first()


def retrain_request(
    *,
    model: Model,
    start: datetime | None = None,
    end: datetime | None = None,
    name: str | None = None,
    alias: Model.Alias | str = Model.Alias.NONE,
    priority: int = 5,
) -> Job:
    """Queue the model's recipe on other data (open ends mean all there is); the result has `model` as its parent.

    It gets `alias` in the transaction that stores it. Raises MODEL_NAME_TAKEN, RECIPE_INVALID (also for a recipe of an
    older release that this one cannot read).
    """
    recipe = recipe_parse(model.recipe)
    data = recipe.data.model_copy(update={"from_": start, "to": end})
    changed = recipe.model_copy(update={"name": name or name_next(name=recipe.name), "data": data, "tune": None})
    lineage = Lineage(Model.Origin.RETRAINED, parent_id=model.pk, alias=str(alias))
    return train_request(recipe=recipe_parse(changed.as_json()), priority=priority, lineage=lineage)


def best_train(*, study: Job, name: str | None = None, priority: int = 5) -> Job:
    """Queue the training of a study's best recipe. Raises ConflictError STUDY_WITHOUT_BEST, MODEL_NAME_TAKEN."""
    found = (study.result or {}).get("recipe")
    if study.job_type != Job.Type.TUNE or not found:
        raise ConflictError("STUDY_WITHOUT_BEST", "This job is no study that has ended with a best recipe.")
    recipe = recipe_parse({**found, "name": name or found["name"]})
    return train_request(recipe=recipe, priority=priority, lineage=Lineage(Model.Origin.TUNED, study_id=study.pk))


def name_next(*, name: str) -> str:
    """A free name like the given one: `first`, `first.2`, `first.3` ..."""
    stem, _, number = name.rpartition(".")
    stem, count = (stem, int(number)) if stem and number.isdecimal() else (name, 1)
    tried = (f"{stem[:90]}.{number}" for number in range(count + 1, count + 10_000))
    taken = set(Model.objects.filter(name__startswith=stem[:90]).values_list("name", flat=True))
    taken |= set(Job.objects.filter(status__in=_OPEN).values_list("params__recipe__name", flat=True))
    return next(one for one in tried if one not in taken)


def test_result_delete(*, result_id: int) -> None:
    """Remove a test result. Raises NotFoundError TEST_RESULT_NOT_FOUND."""
    if TestResult.objects.filter(pk=result_id).delete()[0] == 0:
        raise NotFoundError("TEST_RESULT_NOT_FOUND", worded("There is no test result %(id)s.", id=result_id))


def comparison_delete(*, comparison_id: int) -> None:
    """Remove a comparison. Raises NotFoundError COMPARISON_NOT_FOUND."""
    if Comparison.objects.filter(pk=comparison_id).delete()[0] == 0:
        raise NotFoundError("COMPARISON_NOT_FOUND", worded("There is no comparison %(id)s.", id=comparison_id))
