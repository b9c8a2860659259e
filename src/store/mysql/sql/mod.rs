//! SQL of MySQL and MariaDB as text: how it is cut into tokens and statements, how names are written, and what of it a server of
//! which version understands. Pure.

pub(super) mod byte_text;
pub(super) mod executed;
pub(super) mod lexer;
pub(super) mod lexical;
pub(super) mod marks;
pub(super) mod names;
pub(super) mod references;
pub(super) mod rewrite;
pub(super) mod splitter;
pub(super) mod version;
