# The commands of this repository; .ci/run uses the same ones.

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

# Check format and lints of the code and the contract.
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    npx --yes @bufbuild/buf lint
    npx --yes @bufbuild/buf format --diff --exit-code

# Build the manual as a book in target/book (needs mdbook).
book:
    mdbook build

# Build rustdoc; warnings are errors.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Write the generated references under docs/.
reference:
    cargo run --example reference

# At a release: store its contract, which later changes are compared with.
release-contract:
    npx --yes @bufbuild/buf build --exclude-source-info --output .ci/contract.binpb

# Build the examples and run their cases.
examples *languages:
    examples/check {{ languages }}

# Measure what a webhook costs, compared with the alternatives.
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

# Check the packages: all of them, or the parts named.
deploy *parts:
    deploy/check {{ parts }}

# Render the plain manifests from the chart (needs helm).
manifests:
    deploy/kubernetes/render

# Everything that must hold before a change lands.
ci:
    .ci/run
