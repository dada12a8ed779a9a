# What one types here. `make test` is what the continuous integration runs; its properties draw the same examples every
# time, while a plain `cargo test` draws others each time.

CARGO ?= cargo
PYTHON ?= python3
VENV := target/venv

# Families of recordings that agree with the kernel in every step.
FAMILIES = sched tcp timeouts lookup forwarding persistence policies sctp icmp statistics listings sync-master sync-backup sync-ours ftp fragments tunnel-errors control sip defence bypass ipsec

PREFIX ?= /usr/local
# The release of cargo-c for the Rust of this project's tests; others want another Rust.
CARGO_C_VERSION ?= 0.10.24

.PHONY: install-c cargo-c test test-python test-python-if-there model lint bench bench-quick bench-python instructions doc tools

test: tools lint
	PROPTEST_RNG_SEED=1 $(CARGO) test --workspace --locked
	$(MAKE) model
	$(MAKE) test-python-if-there
	$(CARGO) build --locked -p lvs-core --no-default-features
	$(CARGO) build --release --locked --examples
	target/release/examples/conformance $(foreach family,$(FAMILIES),lvs-core/tests/recordings/$(family)-*.jsonl.gz)
	target/release/examples/balance
	target/release/examples/threads
	$(MAKE) instructions

# The same where there is a Python that can make environments.
test-python-if-there:
	@if $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then $(MAKE) test-python; \
	else echo "note: no Python with venv: the tests of the Python package are left out"; fi

# The Python package, built with all checks and installed into an environment of its own.
test-python:
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip uninstall --quiet --yes lvs-py
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --config-settings=build-args="--profile dev" './lvs-py[test]'
	cd lvs-py && ../$(VENV)/bin/python -m pytest --quiet
	cd lvs-py && ../$(VENV)/bin/python -m mypy python/lvs tests/typed.py
	cd lvs-py && ../$(VENV)/bin/python -m mypy.stubtest lvs --mypy-config-file pyproject.toml --ignore-disjoint-bases

# Looks for races between threads of a shared director: a scheduler of threads tries thousands of orders.
model:
	RUSTFLAGS="--cfg model" $(CARGO) test --locked -p lvs-core --lib --target-dir target/model shared::model

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --locked
	$(CARGO) check --manifest-path fuzz/Cargo.toml --locked

# Times, into one table: BENCHMARKING.md says what to trust for what. Ten minutes, or half a minute of smaller tables.
bench:
	$(CARGO) bench --locked -p lvs-benches --bench suite
	$(MAKE) bench-python

bench-quick:
	$(CARGO) bench --locked -p lvs-benches --bench suite -- quick

# What calls from Python cost, behind the same table: half a minute, and a build of the package for it.
bench-python:
	test -x $(VENV)-bench/bin/pip || $(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
	  --config-settings=build-args="--features measure" ./lvs-py
	@mkdir -p target/bench
	$(VENV)-bench/bin/python benches/python/crossing.py > target/bench/python.txt
	@cat target/bench/python.txt; cat target/bench/python.txt >> target/bench/table.txt

# Instructions of a packet, compared with benches/instructions.txt; BLESS=1 writes that file anew.
instructions:
	$(CARGO) build --release --locked -p lvs-benches --bin instructions
	target/release/instructions $(if $(BLESS),bless)

doc:
	$(CARGO) doc --workspace --no-deps --all-features

# The C library: header, shared and static library, lvs.pc and a CMake package, below PREFIX. With cargo-c, which is
# installed if it is not there: the tests install and use the library, too.
install-c: cargo-c
	$(CARGO) cinstall --locked $(if $(DEBUG),--debug,--release) --manifest-path lvs-ffi/Cargo.toml \
	  --prefix $(PREFIX) --libdir $(PREFIX)/lib $(if $(DESTDIR),--destdir $(DESTDIR))

# Once, some two minutes of two cores; it needs libssl-dev.
cargo-c:
	@$(CARGO) cinstall --version >/dev/null 2>&1 || { \
	  pkg-config --exists openssl 2>/dev/null || { $(APT) pkg-config libssl-dev >/dev/null; } || true; \
	  echo "note: installing cargo-c $(CARGO_C_VERSION), which takes several minutes, once"; \
	  $(CARGO) install cargo-c --version $(CARGO_C_VERSION) --locked --debug; }

# What a fresh Debian machine with Rust may lack: Python, a second opinion on checksums in captures, a counter of
# instructions, what the C library is used with. The tests do without them, and say so.
APT = [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends

tools:
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { $(APT) python3 python3-venv python3-pip >/dev/null; } || true
	@command -v tshark >/dev/null || command -v tcpdump >/dev/null || { $(APT) tcpdump >/dev/null; } || \
	  echo "note: neither tshark nor tcpdump: their check of captures is left out"
	@command -v valgrind >/dev/null || { $(APT) valgrind >/dev/null; } || \
	  echo "note: no valgrind: instructions are not counted"
	@{ command -v gcc && command -v g++ && command -v clang && command -v cmake && pkg-config --exists libpcap libdpdk; } \
	  >/dev/null 2>&1 || { $(APT) gcc g++ clang cmake make pkg-config libpcap-dev libdpdk-dev >/dev/null; } || \
	  echo "note: not all of gcc, g++, clang, cmake, libpcap-dev, libdpdk-dev: some tests of the C library are left out"
	@$(MAKE) --no-print-directory cargo-c || echo "note: no cargo-c: that the C library can be installed is not tested"
