# What one types here. `make test` is what the continuous integration runs.

CARGO ?= cargo

# Families of recordings that agree with the kernel in every step.
FAMILIES = sched tcp timeouts lookup forwarding persistence policies sctp icmp

.PHONY: test lint bench doc fuzz tools

test: tools lint
	$(CARGO) test --workspace --locked
	$(CARGO) build --locked -p lvs-core --no-default-features
	$(CARGO) build --release --locked --examples
	target/release/examples/conformance $(foreach family,$(FAMILIES),lvs-core/tests/recordings/$(family)-*.jsonl.gz)
	target/release/examples/balance

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --locked
	$(CARGO) check --manifest-path fuzz/Cargo.toml --locked

bench:
	$(CARGO) bench --bench floors
	$(CARGO) bench --bench schedulers

doc:
	$(CARGO) doc --workspace --no-deps --all-features

# What a fresh Debian machine with Rust may lack: a second opinion on checksums in captures. The tests do without it.
tools:
	@command -v tshark >/dev/null || command -v tcpdump >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tcpdump >/dev/null; }; } || \
	  echo "note: neither tshark nor tcpdump: their check of captures is left out"
