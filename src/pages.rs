//! The pages of the documentation that have code, for `cargo test` to compile and run.

#[doc = include_str!("../README.md")]
struct Readme;

#[doc = include_str!("../docs/guide.md")]
struct Guide;

#[doc = include_str!("../docs/continuous.md")]
struct Continuous;

#[doc = include_str!("../docs/evidence.md")]
struct Evidence;

#[doc = include_str!("../docs/migration.md")]
struct Migration;
