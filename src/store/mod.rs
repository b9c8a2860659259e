//! Stores: where data comes from and where it goes.
//!
//! A store is a folder with a [`Driver`], and a line in the [`registry`]. The driver opens a [`Source`] or a [`Target`]; both
//! are traits that an archive has, too, so that push, pull and sync are one engine:
//!
//! ```text
//! Source::survey -> Survey { parts, definitions }
//! Target::check, prepare -> Incoming::write, build, complete -> Complete::catalogue, checksum, run_script, derive, publish
//!                                                            -> Published::confirm, revert, settle
//! ```
//!
//! What only some stores can do is a trait of its own that a source or target has or has not: [`ReadBatches`] and
//! [`WriteBatches`], [`Shapes`], [`Samples`], [`InOrder`], [`Deferred`], [`CloneFiles`], [`InPlace`], [`Transfer`], [`RecordSource`], [`CompareWhole`], [`ByName`], [`SurveySnapshots`], [`OpenLagProbe`],
//! [`Dumps`].
//! Values that only the store itself understands pass through the rest of the house unread: [`Definitions`], [`Encoding`],
//! [`Slice`].

#[cfg(any(feature = "mysql", feature = "postgresql"))]
mod beside;
pub mod catalogue;
mod codec;
mod context;
mod definitions;
mod delimited;
mod driver;
pub mod dump;
pub mod envelope;
#[cfg(feature = "files")]
pub mod files;
#[cfg(test)]
mod fuzz;
mod lines;
#[cfg(any(feature = "mysql", feature = "postgresql"))]
mod liveness;
#[cfg(feature = "mysql")]
pub mod mysql;
mod part;
#[cfg(feature = "postgresql")]
pub mod postgresql;
pub mod redact;
pub mod registry;
pub mod room;
mod row_sums;
mod sample;
pub mod selection;
pub mod shape;
mod shared;
#[cfg(any(feature = "mysql", feature = "postgresql"))]
mod slices;
mod source;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod statements;
mod survey;
mod target;
#[cfg(any(feature = "mysql", feature = "postgresql"))]
#[cfg(any(feature = "mysql", feature = "postgresql"))]
mod url;
pub use crate::secret::Lookup;
pub use catalogue::{Catalogue, Digest};
pub use codec::{
    ChunkBuffer, Codec, RowCodec, RowCutter, RowDecoder, RowEncoder, RowJoiner, RowSplitter,
    RowVisitor, Value,
};
pub use context::{Claim, Context, Meter, workers};
pub use definitions::{Definitions, Restored, Script, own};
pub use delimited::Delimited;
pub use driver::{
    Driver, Dumps, ManualClient, OpenLagProbe, ReadParts, Refusal, SurveySnapshots,
    SurveyedSnapshot,
};
pub use lines::{LineDecoder, Lines, count_lines};
pub use part::{
    Batch, BatchChunk, Checksum, Chunk, Chunks, Encoding, Part, RowSum, Slice, Step, Unit, joined,
};
pub use row_sums::RowSums;
pub use sample::{Comment, LONGEST as SAMPLED, PLACES, Sample, Samples};
pub use selection::{Fate, Selection};
pub use shape::{Check, Conditions, Form, Reference, Shape, ShapeColumn, Shapes, Truth, Unique};
pub use shared::{Interner, List};
pub use source::{ByName, Deferred, InOrder, LagProbe, Native, ReadBatches, Source};
pub use survey::{Prospect, Server, Survey, Taker};
pub use target::{
    CloneFiles, Cloned, CompareWhole, Complete, InPlace, Incoming, MaskedColumn, Masking,
    Published, RecordSource, SourceRecord, Target, Transfer, WriteBatches,
};
