//! Every command, on a running instance with real traffic through it.

mod flows;
mod inspect;
#[path = "../lab_support/mod.rs"]
mod lab_support;
mod lifecycle;
mod reload;
mod rules;
