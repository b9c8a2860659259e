//! Publishing: incoming's content becomes live's, and can be taken back.

pub(super) mod confirm;
pub(super) mod live;
pub(super) mod lock;
pub(super) mod marks;
pub(super) mod rollback;
pub(super) mod run_files;
pub(super) mod swap;
