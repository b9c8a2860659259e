//! Trees of files, from directory to directory, and into archives and out of them.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `connection` | directories by their descriptors, what is known of a file, and the words for errors |
//! | `schema` | which files a task is for: globs, sizes, ages, presets; and its own options |
//! | `rows` | two trees walked side by side in the order of their names, and what becomes of each name |
//! | `incoming` | the tree that is built beside live: what is copied, and what is linked from live |
//! | `packed` | trees in archives: tar streams and the list of what is in them |
//! | `bucket` | trees in buckets: out of them, into them, and what a run into one replaces |
//! | `publish` | the folder beside live, its mark and its lock; the swap, files that are exchanged one by one, and previous |
//!
//! Whatever is opened, made or removed is named by a descriptor of its directory and one name in it, and no link is followed:
//! what a tree becomes while it is walked leads nobody out of it.

#[cfg(feature = "s3")]
mod bucket;
mod connection;
mod driver;
#[cfg(test)]
mod fuzz;
mod incoming;
mod packed;
mod publish;
mod remote;
mod rows;
mod schema;
mod source;
mod target;
mod url;

pub use driver::DRIVER;
pub use url::KIND;
