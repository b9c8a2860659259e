//! The API with a real daemon, asked by curl.

mod attacks;
mod calls;
mod document;
mod job_files;
mod live;
mod remote;
mod run_page;
mod tokens;
