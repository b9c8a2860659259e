//! The binary as its users meet it: files, exit codes, real servers.

mod conformance;
mod postgresql;
mod support;
