# The verbs of the day. `make` alone prints them.
#
# Nothing here needs root but `make test-system`. Once `make setup` has run, only what asks the package index needs a
# network: lock, ages, audit, sbom.
# Every path is quoted, so that a checkout may live under a path with spaces.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
HOME_DIR ?= .home
UV ?= uv
# A week: long enough for the world to notice a poisoned release before we take it.
LOCK_DATE ?= $(shell date -u -d '7 days ago' +%Y-%m-%dT00:00:00Z)
LOCK := pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-annotate --no-header -c requirements/constraints.txt --exclude-newer $(LOCK_DATE) pyproject.toml

.PHONY: help
help: ## This list
	@echo "The offline edge-device agent appliance"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Start with:  make run"

# ---- set-up

$(STAMP): requirements/dev.txt pyproject.toml
	@bash .ci/setup "$(VENV)"
	@touch "$(STAMP)"

.PHONY: setup
setup: $(STAMP) ## Make .venv from the hash-locked requirements (once; again only when they change)

# ---- use

.PHONY: run
run: setup ## The console over simulated devices; state lies in ./.home
	@"$(BIN)/appliance" --home "$(HOME_DIR)" console

.PHONY: demo-fleet
demo-fleet: setup ## A broker, two devices and a controller in this terminal: a command and its report cross the broker
	@"$(BIN)/python" -m appliance.fleet.demo

.PHONY: bench
bench: setup ## Measure this machine: start-up, first answer, a whole turn, memory, durable decisions per second
	@"$(BIN)/appliance" bench

# ---- check

.PHONY: lint
lint: setup
	@echo "== ruff";  "$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@echo "== mypy";  "$(BIN)/mypy"

.PHONY: test
test: lint ## Set-up, then lint, types and the suite; ten minutes at most
	@echo "== pytest"; "$(BIN)/pytest" -q -n logical --dist loadgroup

.PHONY: coverage
coverage: setup ## The suite once more with branch coverage, slower by half
	@"$(BIN)/pytest" -q -n logical --dist loadgroup --cov --cov-report=term

.PHONY: test-system
test-system: setup ## Tests on a real Mosquitto and a real machine; needs root, installs what it needs
	@bash .ci/system-packages
	@"$(BIN)/pytest" -q -m "system and not quiet" -n logical --dist worksteal --durations=12 tests
	@"$(BIN)/pytest" -q -m "system and quiet" --durations=12 tests

.PHONY: soak
soak: setup ## The fault tests with their full numbers; results in docs/measurements/soak.txt
	@bash .ci/system-packages
	@bash .ci/soak "$(BIN)"

# ---- make what is generated

.PHONY: docs
docs: setup ## Write the generated pages under docs/reference again
	@"$(BIN)/python" docs/generate.py

.PHONY: screenshots
screenshots: setup ## Draw docs/images again from the running console
	@"$(BIN)/python" -m appliance.tui.screenshots docs/images

.PHONY: wheel
wheel: setup ## Build the wheel, bundle inside, into dist/
	@env -u SOURCE_DATE_EPOCH "$(BIN)/python" -m hatchling build -t wheel

.PHONY: lock
lock: ## Lock the requirements again with hashes, nothing younger than a week (needs uv)
	@$(UV) $(LOCK) --extra broker --extra needle --extra tflite --extra postgresql --group dev -o requirements/dev.txt
	@$(UV) $(LOCK) -o requirements/runtime.txt
	@$(MAKE) ages sbom audit

LOCKS := requirements/runtime.txt requirements/dev.txt

.PHONY: ages
ages: setup ## Ask the index how old every locked file is, and whether it was taken back
	@"$(BIN)/python" .ci/ages.py --quiet $(LOCKS) || [ $$? -eq 3 ]  # 3: not everything could be asked, which it says

.PHONY: audit
audit: setup ## Ask the index's database of advisories about every locked version
	@"$(BIN)/python" .ci/audit.py $(LOCKS) || [ $$? -eq 3 ]

.PHONY: sbom
sbom: setup ## Write the appliance's bill of materials (CycloneDX) again from the lock
	@"$(BIN)/python" .ci/sbom.py

.PHONY: clean
clean: ## Remove what set-up and tests made; ./.home is left alone
	@rm -rf "$(VENV)" dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
