# Short names for what is done often. `just` lists them.

default:
    @just --list

# A standalone router with the embedded configuration
run *args:
    cargo run --release -- run {{ args }}

# Every test, after installing what they need
test *args:
    ./test {{ args }}

# What CI checks
ci:
    .ci/run

# Format everything
fmt:
    cargo fmt --all

# Lints as CI sees them
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# The side-by-side comparison; `just compare --only tcp-bulk`
compare *args:
    cargo run --release -p benches -- compare {{ args }}

# The router as it is released: built again for what it did at work
release:
    benches/release
