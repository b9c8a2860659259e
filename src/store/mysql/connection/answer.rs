//! How an answer begins and ends ("Text protocol", MariaDB's protocol documentation).

use super::outcome::{Answer, Done};
use super::row::lenenc;
use super::session::Session;
use crate::error::Result;

/// No answer has more columns than this.
const COLUMNS: u64 = 1 << 16;

/// More results follow (SERVER_MORE_RESULTS_EXISTS).
const MORE: u16 = 8;
impl Session {
    /// Reads how an answer begins. An error ends it.
    pub(in crate::store::mysql) async fn answer(&mut self) -> Result<Answer> {
        let packet = self.link.packet().await?;
        match packet.first() {
            Some(0x00) => {
                let mut rest = &packet[1..];
                let rows = lenenc(&mut rest).ok_or_else(|| self.unexpected())?;
                lenenc(&mut rest).ok_or_else(|| self.unexpected())?;
                let (status, warnings) = two(rest).ok_or_else(|| self.unexpected())?;
                (self.status, self.warnings) = (status, warnings);
                Ok(Answer::Done(Done {
                    rows,
                    warnings,
                    more: status & MORE != 0,
                }))
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal_of(&packet, self.names()))
            }
            Some(0xfb) => Ok(Answer::Data),
            Some(_) => {
                let mut rest = &packet[..];
                let columns = lenenc(&mut rest).filter(|columns| *columns <= COLUMNS);
                let columns = columns.filter(|_| rest.is_empty());
                Ok(Answer::Columns(columns.ok_or_else(|| self.unexpected())?))
            }
            None => Err(self.unexpected()),
        }
    }

    /// Reads over the columns' definitions and what ends them.
    pub(in crate::store::mysql) async fn skip_columns(&mut self, columns: u64) -> Result<()> {
        let mut room = self.room;
        for _ in 0..columns {
            let packet = self.link.packet().await?;
            room = self.left(room, packet.len())?;
            // Each begins with the name of a catalogue, and that is always the same.
            if !packet.starts_with(b"\x03def") {
                self.end_of_rows(&packet)?;
                return Err(self.unexpected());
            }
        }
        let packet = self.link.packet().await?;
        match self.end_of_rows(&packet)? {
            Some(_) => Ok(()),
            None => Err(self.unexpected()),
        }
    }

    /// What ends rows, if this packet does. An error is one end.
    pub(in crate::store::mysql) fn end_of_rows(&mut self, packet: &[u8]) -> Result<Option<Done>> {
        match packet.first() {
            Some(0xfe) if packet.len() < 9 => {
                let (warnings, status) = two(&packet[1..]).ok_or_else(|| self.unexpected())?;
                (self.status, self.warnings) = (status, warnings);
                Ok(Some(Done {
                    rows: 0,
                    warnings,
                    more: status & MORE != 0,
                }))
            }
            Some(0xff) => {
                self.busy = false;
                Err(self.link.refusal_of(packet, self.names()))
            }
            _ => Ok(None),
        }
    }
}

/// Two numbers of 16 bits.
fn two(bytes: &[u8]) -> Option<(u16, u16)> {
    let bytes = bytes.get(..4)?;
    Some((
        u16::from_le_bytes([bytes[0], bytes[1]]),
        u16::from_le_bytes([bytes[2], bytes[3]]),
    ))
}
