# The door to everything that is done with this repository; .ci/run does the same.

# List the recipes.
default:
    @just --list

# Run hookgate with its built-in policy.
run *args:
    cargo run -- {{ args }}

# Run every test that needs Rust alone.
test *args:
    cargo test {{ args }}

# Format the code and the contract.
fmt:
    cargo fmt
    npx --yes @bufbuild/buf format -w

# Look for what should not be.
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    npx --yes @bufbuild/buf lint
    npx --yes @bufbuild/buf format --diff --exit-code

# Build the documentation, warnings being errors.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Write the generated references under docs/.
reference:
    cargo run --example reference

# At a release: keep its contract, for later ones to be compared with.
release-contract:
    npx --yes @bufbuild/buf build --exclude-source-info --output .ci/contract.binpb

# Build the examples, and put them to their cases.
examples *languages:
    examples/check {{ languages }}

# Measure what a webhook costs, beside what one could use instead.
bench *args:
    cargo run --release --manifest-path bench/Cargo.toml -- {{ args }}

# Time decode and reply, and count allocations.
bench-parts:
    cargo bench --manifest-path bench/Cargo.toml

# Check the dependencies' licences and advisories (needs cargo-deny).
deny:
    cargo deny check

# Build hookgate as one static file.
static file="target/hookgate":
    deploy/binary/build {{ file }}

# Check the packages: binary, image, chart, unit, alerts and the rest, or the parts named.
deploy *parts:
    deploy/check {{ parts }}

# Make the plain manifests anew from the chart (needs helm).
manifests:
    deploy/kubernetes/render

# Everything that must hold before a change lands.
ci:
    .ci/run
