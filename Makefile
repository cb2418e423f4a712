# Everything is done by bootstrap.py, which needs nothing but some Python 3.
PYTHON3 ?= $(firstword $(shell command -v python3) $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python3))
RUN = @exec $(or $(PYTHON3),$(error Python 3.12 or newer is needed, on PATH or under ~/.pyenv/versions)) bootstrap.py

.PHONY: help up clean test coverage check format lock bench

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

up: ## start everything in the foreground (PORT=…, LAB=0, WEB_PROCESSES=…, PORTAL_STATE=<folder>, DATABASE_URL=…, CELERY_BROKER_URL=…)
	$(RUN) up

clean: ## stop what a killed run left behind and remove the state folder
	$(RUN) clean

test: ## run the whole suite (ARGS="-k name")
	$(RUN) test $(ARGS)

coverage: ## the whole suite, and which branches it takes
	$(RUN) coverage

check: ## format, lint, types, imports, migrations, generated documents, structure
	$(RUN) check

format: ## format and mend what can be mended
	$(RUN) format

lock: ## resolve the requirements again
	$(RUN) lock

bench: ## measurements that print tables (ARGS="start pages intake engine chaos --save")
	$(RUN) bench $(ARGS)
