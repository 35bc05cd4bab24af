"""Addresses of training."""

from django.urls import path

from apps.training import model_views, views

app_name = "training"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("new/", views.new, name="new"),
    path("new/preview/", views.preview, name="preview"),
    path("data/", views.data, name="data"),
    path("models/<int:model_id>/", views.model, name="model"),
    path("models/import/", model_views.import_file, name="import"),
    path("models/<int:model_id>/delete/", views.model_delete, name="model_delete"),
    path("models/<int:model_id>/restore/", model_views.restore, name="model_restore"),
    path("models/<int:model_id>/alias/", model_views.alias, name="model_alias"),
    path("models/<int:model_id>/retrain/", model_views.retrain, name="model_retrain"),
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/<int:job_id>/", views.job, name="job"),
    path("jobs/<int:job_id>/train-best/", model_views.train_best, name="train_best"),
    path("jobs/<int:job_id>/cancel/", views.job_cancel, name="job_cancel"),
    path("tests/", views.tests, name="tests"),
    path("tests/<int:result_id>/", views.test, name="test"),
    path("tests/<int:result_id>/delete/", views.test_delete, name="test_delete"),
    path("comparisons/", views.comparisons, name="comparisons"),
    path("comparisons/<int:comparison_id>/", views.comparison, name="comparison"),
    path("comparisons/<int:comparison_id>/delete/", views.comparison_delete, name="comparison_delete"),
    path("leakcheck/", views.leakcheck, name="leakcheck"),
    path("features/", views.features, name="features"),
]
