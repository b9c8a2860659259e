//! What a column of a type can hold, by the name that its store gives the type. A type that is in no list is unknown, and counts
//! as personal.

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing that tells of a person: truth values, and types that only servers themselves use.
    Nothing,
    /// Texts.
    Text,
    /// One of a few words.
    Word,
    /// Whole and decimal numbers.
    Number,
    /// Days, with or without times.
    Moment,
    /// Times of day, durations, ranges of days and numbers.
    Span,
    /// Bytes.
    Bytes,
    /// JSON.
    Document,
    /// UUIDs.
    Uuid,
    /// IP addresses and networks.
    Address,
    /// Hardware addresses.
    Hardware,
    /// Points and shapes.
    Place,
    /// Nobody knows.
    Unknown,
}

impl Holds {
    /// Whether values of a form can be in it.
    pub(super) fn has_forms(self) -> bool {
        self.is_text() || matches!(self, Self::Number)
    }

    /// Whether its values are texts, or may be.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Bytes | Self::Unknown)
    }

    /// Whether documents and free text can be in it.
    pub(super) fn has_documents(self) -> bool {
        self.is_text() || self == Self::Document
    }
}

/// Of a type's name: without lengths, and of arrays what they are made of.
pub(super) fn holds(type_name: &str) -> Holds {
    let lower = type_name.to_lowercase();
    let plain = lower.trim_end_matches("[]");
    let word = plain.split('(').next().unwrap_or_default().trim();
    // A schema in front, as in `public.citext`.
    let word = word
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .trim_matches('"');
    let word = word
        .strip_suffix(" unsigned")
        .or_else(|| word.strip_suffix(" zerofill"))
        .unwrap_or(word);
    match word {
        "bool" | "boolean" | "tsquery" | "pg_lsn" | "xid" | "xid8" | "cid" | "tid"
        | "txid_snapshot" | "pg_snapshot" | "regclass" | "regtype" | "regproc" => Holds::Nothing,
        "enum" | "set" => Holds::Word,
        "smallint" | "int" | "integer" | "bigint" | "int2" | "int4" | "int8" | "tinyint"
        | "mediumint" | "serial" | "bigserial" | "smallserial" | "oid" | "numeric" | "decimal"
        | "dec" | "number" | "real" | "float" | "float4" | "float8" | "double"
        | "double precision" | "money" | "year" => Holds::Number,
        "date" | "datetime" | "timestamp" | "timestamptz" => Holds::Moment,
        "time" | "timetz" | "interval" | "bit" | "bit varying" | "varbit" => Holds::Span,
        "bytea" | "blob" | "tinyblob" | "mediumblob" | "longblob" | "binary" | "varbinary" => {
            Holds::Bytes
        }
        "json" | "jsonb" => Holds::Document,
        "uuid" => Holds::Uuid,
        "inet" | "cidr" | "inet4" | "inet6" => Holds::Address,
        "macaddr" | "macaddr8" => Holds::Hardware,
        "point" | "geometry" | "geography" | "polygon" | "linestring" | "line" | "lseg" | "box"
        | "path" | "circle" | "multipoint" | "multilinestring" | "multipolygon"
        | "geometrycollection" | "geomcollection" => Holds::Place,
        "text" | "varchar" | "char" | "bpchar" | "character" | "character varying" | "citext"
        | "name" | "nchar" | "nvarchar" | "tinytext" | "mediumtext" | "longtext" | "clob"
        | "string" | "xml" | "hstore" | "tsvector" | "ltree" | "\"char\"" | "" => Holds::Text,
        _ if word.starts_with("timestamp ") => Holds::Moment,
        _ if word.starts_with("time ") || word.starts_with("interval ") => Holds::Span,
        _ if word.ends_with("range") => Holds::Span,
        // SQLite takes any words, and goes by these ("Determination Of Column Affinity").
        _ if word.contains("char") || word.contains("text") => Holds::Text,
        _ => Holds::Unknown,
    }
}
