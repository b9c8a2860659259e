//! The binary as its users meet it: files, exit codes, real servers; and the house's own rules. One binary: linking is
//! what tests wait for.

mod archive;
mod audit;
mod conformance;
mod daemon;
mod docs;
mod file_proxy;
mod files;
mod hooks;
mod http;
mod import;
mod layering;
mod masks;
mod metrics;
mod monitoring;
mod mysql;
mod panel;
mod parts;
mod postgresql;
mod profiles;
mod pull;
mod row_content;
mod sqlite;
mod strangers;
mod support;
mod together;
mod transport;
mod verbs;
