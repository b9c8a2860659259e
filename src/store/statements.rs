//! SQL scripts cut into statements, so that an error can name one. Pure.
