# Two commands: `make demo` shows the whole loop, `make test` runs every check.
# Both make .venv first, with all they need.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
SYSTEM_PACKAGES := python3-venv xvfb xauth libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 \
  libxcb-keysyms1 libxcb-render-util0 libxcb-xkb1 libxcb-shape0 libxcb-xinerama0 libxcb-randr0 libdbus-1-3
# The software renderer of Mesa wants a GLX screen.
XVFB := xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX"
WIDE := xvfb-run -a -s "-screen 0 2048x1200x24 +extension GLX"  # for a canvas of 1600 x 1000

.PHONY: demo test lint types tests tests-rest tests-panels tests-window tests-windows-rules bench-window bench-paint bench-data bench-train bench-live bench-predict bench-view bench-many bench-memory bench-tissue bench-cluster bench-peers fuzz fuzz-million attack kill-training kill-predictions kill-strokes kill-windows soak-strokes soak-live soak-opens coverage-of-intervals system clean

demo: $(VENV)/installed
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(BIN)/pathseg demo; \
	else $(XVFB) $(BIN)/pathseg demo --headless demo; fi

test: lint types tests

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

# In several processes, as the product runs: torch and the window's OpenGL do not share one.  Side by side, to save time.
tests: $(VENV)/installed
	@$(MAKE) --no-print-directory -j2 tests-rest tests-panels tests-window tests-windows-rules

tests-rest: $(VENV)/installed
	$(BIN)/python -m pytest --ignore tests/ui --ignore napari_pathseg/ui

tests-panels: $(VENV)/installed
	$(BIN)/python -m pytest tests/ui/panels

tests-window: $(VENV)/installed
	$(BIN)/python -m pytest tests/ui napari_pathseg/ui --ignore tests/ui/panels

# Once more where a file that is open cannot be replaced, and there are no hard links and no positioned reads.  Left
# out: what is about hard links, and tests/masks/test_faults.py, which replaces the same calls by its own.
tests-windows-rules: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m pytest -p windows_rules tests/storage/test_atomic.py tests/storage/test_lock.py \
	  tests/storage/test_portable.py tests/projects/test_project.py tests/projects/test_versions.py \
	  tests/masks/test_mask.py tests/masks/test_chunk_files.py tests/masks/test_zarr_store.py \
	  tests/masks/test_journal.py tests/masks/test_history.py \
	  --deselect tests/projects/test_versions.py::test_version_shares_its_files_with_the_mask \
	  --deselect tests/masks/test_chunk_files.py::test_hard_link_to_a_chunk_keeps_its_content

bench-window: $(VENV)/installed
	$(XVFB) $(BIN)/python benchmarks/window.py

bench-paint: $(VENV)/installed
	$(XVFB) $(BIN)/python benchmarks/paint.py

bench-data: $(VENV)/installed
	$(BIN)/python benchmarks/contours.py
	$(BIN)/python benchmarks/slides.py

bench-train: $(VENV)/installed
	$(BIN)/python benchmarks/train.py

bench-live: $(VENV)/installed
	$(BIN)/python benchmarks/live.py

bench-predict: $(VENV)/installed
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/tiles.py

bench-view: $(VENV)/installed
	$(BIN)/python benchmarks/view.py

bench-many: $(VENV)/installed
	$(XVFB) $(BIN)/python benchmarks/many_slides.py

bench-cluster: $(VENV)/installed
	$(BIN)/python benchmarks/cluster.py

# MONAI in an environment of its own, which sees the product's packages; never the other way round.
bench-peers: $(PEERS)/installed
	$(PEERS)/bin/python benchmarks/peers.py

$(PEERS)/installed: $(VENV)/installed
	$(PYTHON) -m venv $(PEERS)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/product.pth"
	$(PEERS)/bin/python -m pip install --quiet --no-deps 'monai>=1.5'
	touch $@

# Slow: pyramids of 1, 4 and 16 gigapixels, each in a process of its own; its memory must not grow.
bench-memory: $(VENV)/installed
	$(BIN)/python benchmarks/memory.py

# Slow: slides with 6 to 100 % tissue, and 2 and 10 classes.
bench-tissue: $(VENV)/installed
	$(BIN)/python benchmarks/tissue.py

# Slow: hostile contours and slides, edits and kills, thirty times as many as in the tests; each call of a disk refused,
# by each error.
fuzz: $(VENV)/installed
	FUZZ=30 $(BIN)/python -m pytest --timeout 3000 tests/contours/formats tests/slides/readers/test_tiff.py -k "not real and not seconds"
	FUZZ=30 $(BIN)/python -m pytest --timeout 3000 tests/masks/test_faults.py tests/masks/test_sequences.py tests/engine/inference/test_tiling.py tests/projects/test_failing_disk.py

# Slow: a million mutated files of the formats that strangers send; each is read, or refused by its reader's one error.
fuzz-million: $(VENV)/installed
	$(BIN)/python benchmarks/fuzz.py

# Slow: all files and projects of strangers that tests/attack lists, with limits of 1 GiB and 10 s.
attack: $(VENV)/installed
	ATTACK=1 $(BIN)/python -m pytest -s --timeout 3000 tests/attack

# Slow: twenty times kill -9 in mid-training, each resumed.
kill-training: $(VENV)/installed
	$(BIN)/python benchmarks/kill_training.py

# Slow: twenty times kill -9 in mid-prediction; each goes on and ends as an uninterrupted one.
kill-predictions: $(VENV)/installed
	FUZZ=20 $(BIN)/python -m pytest --timeout 3000 tests/engine/inference/test_slide_prediction.py -k killed

# Slow: a hundred times kill -9 in mid-painting, and the same for plain writes in place.
kill-strokes: $(VENV)/installed
	$(BIN)/python benchmarks/kill_strokes.py

# Slow: kill -9 of a window that is idle, trains, tunes and predicts; nothing may be left of it.
kill-windows: $(VENV)/installed
	FUZZ=1 $(BIN)/python -m pytest tests/jobs/test_orphans.py

# Slow: ten thousand strokes with undo in one session.
soak-strokes: $(VENV)/installed
	$(BIN)/python benchmarks/soak_strokes.py

# Slow: a thousand strokes with Live on in a window, on slides of 1 and 16 gigapixels.
soak-live: $(VENV)/installed
	for size in 1 16; do $(WIDE) $(BIN)/python benchmarks/soak_live.py --gigapixels $$size; done

# Slow: ten thousand times a slide and its mask opened, and five hundred predictions, in one process.
soak-opens: $(VENV)/installed
	$(BIN)/python benchmarks/soak_opens.py

# Slow: 2,000 simulated studies of 50 patients; how often the 95 % intervals of the scores cover the true mean.
coverage-of-intervals: $(VENV)/installed
	$(BIN)/python benchmarks/coverage_of_intervals.py

# torch and torchvision first and unpinned, so that pip takes the build that fits the machine.
$(VENV)/installed: setup.cfg | system
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with PYTHON=" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --editable '.[all,test]'
	touch $@

# What a bare Debian or Ubuntu lacks: venv, and the libraries of Qt and OpenGL.
HAS := export PATH="$$PATH:/sbin:/usr/sbin"; $(PYTHON) -c "import ensurepip" 2>/dev/null && command -v xvfb-run \
  >/dev/null && ldconfig -p | grep -q libxcb-cursor && ldconfig -p | grep -q libEGL && ldconfig -p | grep -q libGL.so

system:
	@if ! command -v apt-get >/dev/null || { $(HAS); }; then :; \
	elif [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(SYSTEM_PACKAGES) >/dev/null; \
	else echo "Missing system packages. Run: sudo apt-get install -y $(SYSTEM_PACKAGES)"; exit 1; fi

clean:
	rm -rf $(VENV) $(PEERS) demo build dist *.egg-info
