# What a user and a developer reach for; `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv/bin

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## everything with the built-in market simulator; prints one address (Ctrl-C stops it, data stays)
	@bin/demo

run:  ## the same against the real PumpPortal feed (settings in .env)
	@bin/demo --live

test:  ## the test suite; ARGS="-k name" goes to pytest
	@bin/test $(ARGS)

test-browser:  ## only the tests in a real Chromium
	@bin/test --browser $(ARGS)

lint: .venv  ## ruff, its formatter, and the rules which module may import which
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/lint-imports

types: .venv  ## mypy
	@SECRET_KEY=only-for-types $(VENV)/mypy .

check: ready  ## missing migrations, and Django's checks for deployment
	@bin/check-deploy

format: .venv  ## put the code into ruff's form
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

bench: ready  ## every benchmark, or one: NAME=...
	@$(VENV)/python manage.py bench $(NAME)

migrate: ready  ## bring the database up to date
	$(VENV)/python manage.py migrate

shell: ready  ## a Python shell with Django
	$(VENV)/python manage.py shell

psql: ready  ## a database shell
	@bin/psql $(ARGS)

services-start:  ## start the embedded PostgreSQL and Valkey
	@bin/services start

services-stop:  ## stop them
	@bin/services stop

services-status:  ## do they run, and where
	@bin/services status

logs:  ## follow the logs of the processes that `make demo` or `make run` started
	@tail -n 20 -F $${RUNTIME_DIR:-.runtime}/log/*.log

messages: .venv  ## collect and compile the texts for translation
	@$(VENV)/python bin/messages.py

vendor: .venv  ## fetch the recorded front-end files again and check their hashes
	$(VENV)/python bin/vendor.py

screenshots:  ## pictures of every page, wide and narrow, into screenshots/ (needs Chromium and a running demo)
	@bin/setup --dev
	$(VENV)/python bin/screenshots.py $(ARGS)

lock: .venv  ## write requirements.txt and requirements-dev.txt anew from the .in files
	@bin/lock

image:  ## build the production image
	docker build -t pump-platform .

clean:  ## remove caches and built files (data, packages and secrets stay)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles screenshots
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

destroy:  ## stop the embedded servers and delete this clone's data and secrets; asks first
	@bin/destroy

.venv:
	@bin/setup --dev

ready:
	@bin/ready

.PHONY: help demo run test test-browser lint types check format bench migrate shell psql services-start services-stop \
  services-status logs messages vendor screenshots lock image clean destroy ready
