//! Large objects' bytes on their way: read, written, counted and summed up.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::large_objects::Described;
use crate::store::{Chunk, Chunks};

/// What a piece has in front of its bytes.
pub(super) const HEAD: usize = 16;

/// So many bytes are read and written at once.
const PIECE: i32 = 1024 * 1024;

/// Streams their bytes. A row is an object.
pub(in crate::store::postgresql) fn read(session: Session, objects: Vec<Described>) -> Chunks {
    let all = objects
        .into_iter()
        .map(|one| one.oid)
        .collect::<Vec<_>>()
        .into_iter();
    let state = (session, all, None::<(u32, i64)>);
    stream::try_unfold(state, |(session, mut all, at)| async move {
        let Some((oid, offset)) = at.or_else(|| all.next().map(|oid| (oid, 0))) else {
            return Ok::<_, Error>(None);
        };
        let row = session
            .query_one("SELECT lo_get($1, $2, $3)", &[&oid, &offset, &PIECE])
            .await
            .map_err(session.explain())
            .map_err(|error| {
                error
                    .within(format!("reading large object {oid}"))
                    .hint("grant SELECT ON LARGE OBJECT to the source's user")
            })?;
        let piece: &[u8] = row.read(0)?;
        let mut data = BytesMut::with_capacity(piece.len() + HEAD);
        data.put_u32_le(oid);
        data.put_i64_le(offset);
        data.put_u32_le(piece.len() as u32);
        data.put_slice(piece);
        let next = (piece.len() == PIECE as usize).then_some((oid, offset + i64::from(PIECE)));
        let chunk = Chunk {
            rows: u64::from(offset == 0),
            data: data.freeze(),
        };
        Ok(Some((chunk, (session, all, next))))
    })
    .boxed()
}

/// Takes them into incoming; returns how many.
pub(in crate::store::postgresql) async fn write(
    session: &Session,
    mut chunks: Chunks,
) -> Result<u64> {
    session.run("BEGIN").await?;
    let mut taken = 0;
    while let Some(chunk) = chunks.next().await {
        let mut data: Bytes = chunk?.data;
        while data.remaining() >= HEAD {
            let (oid, offset, length) = (
                data.get_u32_le(),
                data.get_i64_le(),
                data.get_u32_le() as usize,
            );
            if data.remaining() < length {
                return Err(Error::new(
                    Kind::Internal,
                    "a piece of a large object was cut",
                ));
            }
            let piece = data.split_to(length);
            if offset == 0 {
                session
                    .execute("SELECT lo_create($1)", &[&oid])
                    .await
                    .map_err(session.explain())?;
                taken += 1;
            }
            if !piece.is_empty() {
                session
                    .execute(
                        "SELECT lo_put($1, $2, $3)",
                        &[&oid, &offset, &piece.as_ref()],
                    )
                    .await
                    .map_err(session.explain())?;
            }
        }
    }
    session.run("COMMIT").await?;
    Ok(taken)
}

/// How many of these there are.
pub(in crate::store::postgresql) async fn count(session: &Session, oids: &[u32]) -> Result<u64> {
    let row = session
        .query_one(
            "SELECT count(*) FROM pg_largeobject_metadata WHERE oid = ANY($1)",
            &[&oids],
        )
        .await
        .map_err(session.explain())?;
    Ok(row.read::<i64>(0)? as u64)
}

/// Count and sum of hashes over these, page by page.
pub(in crate::store::postgresql) async fn checksum(
    session: &Session,
    oids: &[u32],
) -> Result<(u64, String)> {
    let row = session
        .query_one(
            "SELECT count(*), coalesce(sum(hashtextextended(m.oid || ' ' || md5(lo_get(m.oid)), 0) & 4294967295), 0)::text \
             FROM pg_largeobject_metadata m WHERE m.oid = ANY($1)",
            &[&oids],
        )
        .await
        .map_err(session.explain())?;
    Ok((row.read::<i64>(0)? as u64, row.read(1)?))
}
